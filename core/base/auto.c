/* Cleanup functions for `mrp_auto` and the takers that hand ownership over. */
#include <mrpipe/auto.h>

#include <stdlib.h>
#include <unistd.h>

void mrp_free_str(char **s)
{
    free(*s);
    *s = NULL;
}

void mrp_free_strv(char ***v)
{
    for (char **s = *v; s && *s; s++)
        free(*s);
    free(*v);
    *v = NULL;
}

void mrp_close_file(FILE **f)
{
    if (*f)
        fclose(*f);
    *f = NULL;
}

void mrp_close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
    *d = NULL;
}

void mrp_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

char *mrp_take_str(char **s)
{
    char *taken = *s;
    *s = NULL;
    return taken;
}

char **mrp_take_strv(char ***v)
{
    char **taken = *v;
    *v = NULL;
    return taken;
}

int mrp_take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}
