/* Bounded reads, atomic writes, folders. */
#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int mrp_write_all(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int mrp_file_read(char **out,
                  size_t *out_len,
                  const char *path,
                  size_t max_bytes,
                  struct mrp_error *err)
{
    mrp_auto(mrp_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return mrp_fail_errno(err, "open %s", path);
    if (!S_ISREG(st.st_mode))
        return mrp_fail(err, MRP_E_IO, "%s is not a regular file", path);
    if ((uint64_t)st.st_size > max_bytes)
        return mrp_fail(err, MRP_E_CONFIG, "%s is larger than %zu bytes", path, max_bytes);
    struct mrp_buf buf = MRP_BUF_INIT(max_bytes);
    for (;;) {
        size_t want = buf.len < (size_t)st.st_size ? (size_t)st.st_size - buf.len : 1;
        char *to = mrp_buf_reserve(&buf, want);
        if (!to)
            return mrp_buf_check(&buf, path, err);
        ssize_t n = read(fd, to, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            mrp_buf_done(&buf);
            return mrp_fail_errno(err, "read %s", path);
        }
        to[n] = '\0';
        if (n == 0)
            break;
        buf.len += (size_t)n;
        if (buf.len == max_bytes) /* a file that grew meanwhile is cut at the limit */
            break;
    }
    if (out_len)
        *out_len = buf.len;
    *out = mrp_buf_take(&buf);
    return *out ? MRP_OK : mrp_fail(err, MRP_E_NOMEM, "read %s", path);
}

static void unlink_temp(char **path)
{
    if (*path && **path)
        unlink(*path);
    free(*path);
    *path = NULL;
}

int mrp_file_write(const char *path,
                   const void *data,
                   size_t len,
                   unsigned mode,
                   bool sync,
                   struct mrp_error *err)
{
    mrp_auto(unlink_temp) char *temp = mrp_strf("%s.XXXXXX", path);
    if (!temp)
        return mrp_fail(err, MRP_E_NOMEM, "write %s", path);
    mrp_auto(mrp_close_fd) int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0) {
        temp[0] = '\0';
        return mrp_fail_errno(err, "create a file beside %s", path);
    }
    if (fchmod(fd, (mode_t)mode) || mrp_write_all(fd, data, len) || (sync && fsync(fd)))
        return mrp_fail_errno(err, "write %s", path);
    int whole = mrp_take_fd(&fd);
    if (close(whole))
        return mrp_fail_errno(err, "write %s", path);
    if (rename(temp, path))
        return mrp_fail_errno(err, "rename to %s", path);
    temp[0] = '\0';
    return MRP_OK;
}

int mrp_mkdirs(const char *path, struct mrp_error *err)
{
    mrp_auto(mrp_free_str) char *part = mrp_strdup(path);
    if (!part)
        return mrp_fail(err, MRP_E_NOMEM, "mkdir %s", path);
    if (mkdir(part, 0755) == 0 || errno == EEXIST)
        return MRP_OK;
    for (char *p = part + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char kept = *p;
        *p = '\0';
        if (mkdir(part, 0755) && errno != EEXIST)
            return mrp_fail_errno(err, "create folder %s", part);
        if (!kept)
            return MRP_OK;
        *p = kept;
    }
}

static int remove_at(int parent, const char *name, int depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    if (depth > 1000) {
        errno = ELOOP;
        return -1;
    }
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    mrp_auto(mrp_close_dir) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return -1;
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (remove_at(fd, e->d_name, depth + 1))
            return -1;
    }
    return unlinkat(parent, name, AT_REMOVEDIR);
}

int mrp_remove_tree(const char *path, struct mrp_error *err)
{
    if (remove_at(AT_FDCWD, path, 0))
        return mrp_fail_errno(err, "remove %s", path);
    return MRP_OK;
}

int mrp_temp_dir(char **out, const char *name, struct mrp_error *err)
{
    const char *base = getenv("TMPDIR");
    mrp_auto(mrp_free_str) char *path =
        mrp_strf("%s/%s.XXXXXX", base && base[0] == '/' ? base : "/tmp", name);
    if (!path)
        return mrp_fail(err, MRP_E_NOMEM, "temporary folder");
    if (!mkdtemp(path))
        return mrp_fail_errno(err, "create %s", path);
    *out = mrp_take_str(&path);
    return MRP_OK;
}
