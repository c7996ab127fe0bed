/* The brief of a worker: everything arrives as it was, and damaged bytes are refused. */
#include "../check.h"

#include "brief.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const secondaries[] = {"us-east-1", "eu-west-1", NULL};
static const char *const environment[] = {"A=1", "BYTES=\xff\xfe", "EMPTY=", "", NULL};
static const char *const nobody[] = {NULL};

static struct mrp_work full(void)
{
    struct mrp_work work = {
        .path = "/p/x.so", .sha256 = "00ff", .action = "copy", .mode = MRP_MODE_VERIFY};
    work.with = json_pack("{s:s, s:[i, f, b, n]}", "key", "a\nb", "list", 1, 2.5, 1);
    work.stage = (struct mrp_stage_init){.id = "images[eu]",
                                         .run_id = "2026",
                                         .region = "",
                                         .primary = "us-west-2",
                                         .secondaries = (char *const *)(uintptr_t)secondaries,
                                         .workdir = "/w",
                                         .rundir = "/w/.mrpipe",
                                         .role_arn = "arn:aws:iam::1:role/x",
                                         .debug = "http",
                                         .env = (char *const *)(uintptr_t)environment,
                                         .endpoints = json_pack("{s:s}", "s3", "http://127.0.0.1"),
                                         .artifacts = json_pack("[]"),
                                         .dry_run = true};
    return work;
}

static void drop(struct mrp_work *work)
{
    json_decref((json_t *)(uintptr_t)work->with);
    json_decref((json_t *)(uintptr_t)work->stage.endpoints);
    json_decref((json_t *)(uintptr_t)work->stage.artifacts);
}

static void same_lists(char *const *a, char *const *b)
{
    assert_int_equal(mrp_strv_len(a), mrp_strv_len(b));
    for (size_t i = 0; a && a[i]; i++)
        assert_string_equal(a[i], b[i]);
}

static void test_everything_arrives(void **state)
{
    (void)state;
    int ends[2];
    struct mrp_work work = full(), got;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(mrp_brief_send(ends[0], &work), 0);
    assert_int_equal(mrp_brief_read(&got, ends[1]), 0);
    assert_int_equal(got.mode, MRP_MODE_VERIFY);
    assert_true(got.stage.dry_run);
    assert_string_equal(got.path, work.path);
    assert_string_equal(got.sha256, work.sha256);
    assert_string_equal(got.action, work.action);
    assert_string_equal(got.stage.id, work.stage.id);
    assert_string_equal(got.stage.run_id, work.stage.run_id);
    assert_string_equal(got.stage.region, "");
    assert_string_equal(got.stage.primary, work.stage.primary);
    assert_string_equal(got.stage.workdir, work.stage.workdir);
    assert_string_equal(got.stage.rundir, work.stage.rundir);
    assert_string_equal(got.stage.role_arn, work.stage.role_arn);
    assert_string_equal(got.stage.debug, work.stage.debug);
    same_lists(got.stage.secondaries, work.stage.secondaries);
    same_lists(got.stage.env, work.stage.env);
    assert_true(json_equal(got.with, work.with));
    assert_true(json_equal(got.stage.endpoints, work.stage.endpoints));
    assert_true(json_equal(got.stage.artifacts, work.stage.artifacts));
    mrp_brief_done(&got);
    drop(&work);

    /* Nothing at all, and a list that is empty rather than absent. */
    work = (struct mrp_work){.stage.env = (char *const *)(uintptr_t)nobody};
    assert_int_equal(mrp_brief_send(ends[0], &work), 0);
    assert_int_equal(mrp_brief_read(&got, ends[1]), 0);
    assert_null(got.path);
    assert_null(got.with);
    assert_null(got.stage.secondaries);
    assert_non_null(got.stage.env);
    assert_null(got.stage.env[0]);
    mrp_brief_done(&got);
    close(ends[0]);
    close(ends[1]);
}

/* More than the sockets hold: the reader works while the writer writes. */
static void test_a_large_one(void **state)
{
    (void)state;
    int ends[2], status = -1;
    struct mrp_work work = {.action = "x"};
    mrp_auto(mrp_free_str) char *big = malloc(4 << 20);
    assert_non_null(big);
    memset(big, 'x', (4 << 20) - 1);
    big[(4 << 20) - 1] = '\0';
    work.path = big;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct mrp_work got;
        close(ends[0]);
        _exit(mrp_brief_read(&got, ends[1]) || strcmp(got.path, big) || strcmp(got.action, "x"));
    }
    close(ends[1]);
    assert_int_equal(mrp_brief_send(ends[0], &work), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(mrp_brief_send(ends[0], &work), -1); /* nobody reads */
    close(ends[0]);
}

/* 0 or -1 for bytes that come from nowhere. */
static int feed(const char *bytes, size_t len)
{
    int ends[2];
    struct mrp_work got;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(send(ends[0], bytes, len, MSG_NOSIGNAL), (ssize_t)len);
    close(ends[0]);
    int rc = mrp_brief_read(&got, ends[1]);
    if (!rc)
        mrp_brief_done(&got);
    close(ends[1]);
    return rc;
}

static void test_damaged_bytes(void **state)
{
    (void)state;
    int ends[2];
    char bytes[4096], bad[4096];
    struct mrp_work work = full();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(mrp_brief_send(ends[0], &work), 0);
    ssize_t n = recv(ends[1], bytes, sizeof bytes, 0);
    assert_in_range(n, 100, sizeof bytes - 1);
    assert_int_equal(feed(bytes, (size_t)n), 0);
    for (ssize_t cut = 1; cut < n; cut++)
        assert_int_equal(feed(bytes, (size_t)cut), -1);
    /* Whatever byte is wrong, it is refused or gives another text; nothing is read beyond. */
    for (ssize_t at = 0; at < n; at++) {
        memcpy(bad, bytes, (size_t)n);
        bad[at] = (char)~bad[at];
        (void)feed(bad, (size_t)n);
    }
    close(ends[0]);
    close(ends[1]);
    drop(&work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_arrives),
        cmocka_unit_test(test_a_large_one),
        cmocka_unit_test(test_damaged_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
