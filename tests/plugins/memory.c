/* memory: actions that tell what their process has in it and who made it, for the tests of the fork
 * server. */
#include <mrpipe/json.h>
#include <mrpipe/plugin.h>
#include <mrpipe/stage.h>
#include <mrpipe/text.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

struct look {
    char *text;
    int server; /* index in signals */
};
static const char *const signals[] = {"none", "KILL", "STOP", NULL};
static const struct mrp_option look_options[] = {
    {"text", MRP_STRING(struct look, text), .help = "a value to have in memory"},
    {"server", MRP_ENUM(struct look, server), .fallback = "none", .choices = signals,
     .help = "the signal to send to the fork server"},
    {0},
};
static const struct mrp_output_info look_outputs[] = {
    {"count", "string", "how often actions ran in this memory"},
    {"made", "string", "mapped: this process mapped the plugin; forked: its maker did"},
    {"dumpable", "string", "whether a core of it may be written"},
    {"input", "string", "standard input"},
    {"token", "string", "a random text"},
    {"found", "string", "whether the token is in memory"},
    {0},
};

static pid_t mapped_by;
static int count;

static void __attribute__((constructor)) begin(void)
{
    mapped_by = getpid();
}

static int look_check(const void *options, const char **bad, struct mrp_error *err)
{
    (void)options, (void)bad, (void)err;
    printf("checked "); /* stays in the buffer of whoever checks */
    return 0;
}

/* The number that `key` has in /proc/PID/status, -1: none. */
static int64_t status_of(int64_t pid, const char *key, char *name, size_t size)
{
    char line[256];
    int64_t found = -1;
    char *path = mrp_strf("/proc/%lld/status", (long long)pid);
    FILE *f = path ? fopen(path, "re") : NULL;
    free(path);
    while (f && fgets(line, sizeof line, f)) {
        char *value = strchr(line, '\t');
        if (!value)
            continue;
        *value++ = '\0';
        value[strcspn(value, "\n")] = '\0';
        if (strcmp(line, "Name:") == 0)
            mrp_copy(name, size, value);
        if (strcmp(line, key) == 0)
            (void)mrp_parse_int(&found, value, 0, INT64_MAX);
    }
    if (f)
        fclose(f);
    return found;
}

static pid_t find_server(void)
{
    DIR *proc = opendir("/proc");
    pid_t found = 0;
    char name[64];
    const struct dirent *entry;
    while (proc && !found && (entry = readdir(proc))) {
        int64_t pid;
        name[0] = '\0';
        if (mrp_parse_int(&pid, entry->d_name, 1, 1 << 30) == 0 &&
            status_of(pid, "PPid:", name, sizeof name) == getppid() &&
            strcmp(name, "mrpipe-forks") == 0)
            found = (pid_t)pid;
    }
    if (proc)
        closedir(proc);
    return found;
}

static int tell(struct mrp_stage *stage, const char *name, const char *text, struct mrp_error *err)
{
    return mrp_output(stage, name, json_string(text), err);
}

static int
look_run(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    const struct look *o = options;
    char text[32], input[64];
    *result = MRP_UNCHANGED;
    snprintf(text, sizeof text, "%d", ++count);
    ssize_t n = read(0, input, sizeof input - 1);
    input[n > 0 ? n : 0] = '\0';
    int rc = tell(stage, "count", text, err);
    if (!rc)
        rc = tell(stage, "made", mapped_by == getpid() ? "mapped" : "forked", err);
    if (!rc)
        rc = tell(stage, "dumpable", prctl(PR_GET_DUMPABLE) ? "yes" : "no", err);
    if (!rc)
        rc = tell(stage, "input", input, err);
    if (rc || !o->server)
        return rc;
    pid_t server = find_server();
    if (server <= 0)
        return mrp_fail(err, MRP_E_NOTFOUND, "there is no fork server");
    kill(server, o->server == 1 ? SIGKILL : SIGSTOP);
    return 0;
}

/* ---- a token that stands in no file as it is ---- */

enum { TOKEN = 24, VEIL = 0x55 };

static int
token_run(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    (void)options;
    unsigned char raw[TOKEN / 2];
    char *path = NULL;
    *result = MRP_UNCHANGED;
    if (getrandom(raw, sizeof raw, 0) != sizeof raw)
        return mrp_fail_errno(err, "getrandom");
    char *hex = mrp_hex(raw, sizeof raw);
    int rc = mrp_stage_path(&path, stage, "token", err);
    FILE *f = rc || !hex ? NULL : fopen(path, "we");
    for (int i = 0; f && i < TOKEN; i++)
        fputc(hex[i] ^ VEIL, f);
    if (f)
        fclose(f);
    if (!rc)
        rc = f ? tell(stage, "token", hex, err) : mrp_fail_errno(err, "write the token");
    free(hex);
    free(path);
    return rc;
}

__attribute__((no_sanitize("address"))) static bool
stands_in(const char *from, const char *to, const char *veiled)
{
    for (const char *p = from; p + TOKEN <= to; p++) {
        int i = 0;
        while (i < TOKEN && (char)(p[i] ^ VEIL) == veiled[i])
            i++;
        if (i == TOKEN)
            return true;
    }
    return false;
}

/* Looks through all memory that this process may write, but for the tables of AddressSanitizer. */
static int
scan_run(void *options, struct mrp_stage *stage, enum mrp_result *result, struct mrp_error *err)
{
    (void)options;
    char veiled[TOKEN] = {0}, line[512], *path = NULL;
    *result = MRP_UNCHANGED;
    int rc = mrp_stage_path(&path, stage, "token", err);
    FILE *f = rc ? NULL : fopen(path, "re");
    free(path);
    size_t n = f ? fread(veiled, 1, TOKEN, f) : 0;
    if (f)
        fclose(f);
    FILE *maps = fopen("/proc/self/maps", "re");
    if (rc || n != TOKEN || !maps) {
        if (maps)
            fclose(maps);
        return rc ? rc : mrp_fail_errno(err, "read the token");
    }
    bool found = false;
    while (!found && fgets(line, sizeof line, maps)) {
        char *end;
        uintptr_t from = strtoull(line, &end, 16), to = strtoull(end + 1, &end, 16);
        if (strncmp(end, " rw-p", 5) == 0 && to - from < ((uintptr_t)1 << 28))
            found = stands_in((const char *)from, (const char *)to, veiled); /* NOLINT */
    }
    fclose(maps);
    rc = tell(stage, "made", mapped_by == getpid() ? "mapped" : "forked", err);
    return rc ? rc : tell(stage, "found", found ? "yes" : "no", err);
}

#define ACTION(n, fn, more)                                                                        \
    {                                                                                              \
        .name = n, .summary = n, .options = look_options, .outputs = look_outputs,                 \
        .options_size = sizeof(struct look), .run = fn, .check = more                              \
    }
static const struct mrp_action actions[] = {
    ACTION("look", look_run, look_check),
    ACTION("token", token_run, NULL),
    ACTION("scan", scan_run, NULL),
};

MRP_EXPORT const struct mrp_plugin mrp_plugin_v1 = {
    MRP_PLUGIN_HEAD,    .name = "memory",
    .version = "1",     .summary = "what a worker has in it, for the tests of the fork server",
    .actions = actions, .action_count = MRP_COUNT(actions),
};
