/* The ring: nothing of the trailer leaves before it is proved; LFS pointers; commits in a pack. */
#include "commits.h"
#include "hub.h"
#include "lfs.h"

#include <mrpipe/auto.h>
#include <mrpipe/http.h>

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

static size_t pack_of(unsigned char *out, size_t body)
{
    memcpy(out, "PACK\0\0\0\2\0\0\0\1", 12);
    for (size_t i = 0; i < body; i++)
        out[12 + i] = (unsigned char)(i * 7 + i / 251);
    unsigned n = 0;
    EVP_Digest(out, 12 + body, out + 12 + body, &n, EVP_sha1(), NULL);
    return 12 + body + 20;
}

static int start(void **state)
{
    struct mrp_error err = {0};
    return mrp_http_new((struct mrp_http **)state, NULL, &err);
}

static int end(void **state)
{
    mrp_http_free((struct mrp_http **)state);
    return 0;
}

static void trailer_is_held_back(void **state)
{
    unsigned char pack[2000];
    char out[4000];
    size_t n = pack_of(pack, 1000);
    for (size_t piece = 1; piece < 300; piece += 13) {
        struct mrp_hub *hub = NULL;
        struct mrp_error err = {0};
        assert_int_equal(mrp_hub_new(&hub, *state, 2, &err), 0);
        struct mrp_hub_reader *a = mrp_hub_reader(hub, 0), *b = mrp_hub_reader(hub, 1);
        size_t got = 0;
        for (size_t i = 0; i < n; i += piece) {
            size_t len = n - i < piece ? n - i : piece;
            assert_true(mrp_hub_room(hub, len));
            assert_int_equal(mrp_hub_add(hub, (char *)pack + i, len, &err), 0);
            long r = mrp_hub_read(a, out + got, sizeof out - got);
            got += r > 0 ? (size_t)r : 0;
            assert_true(got <= n - 20);
        }
        assert_int_equal(mrp_hub_read(a, out, 10), MRP_HTTP_PAUSE);
        assert_int_equal(mrp_hub_close(hub, &err), 0);
        assert_int_equal(mrp_hub_read(a, out + got, sizeof out - got), 20);
        assert_memory_equal(out, pack, n);
        assert_int_equal(mrp_hub_read(a, out, 10), 0);
        assert_int_equal(mrp_hub_read(b, out, sizeof out), (long)n);
        assert_int_equal(mrp_hub_objects(hub), 1);
        mrp_hub_free(&hub);
    }
}

static void damage_at_any_byte_is_seen(void **state)
{
    unsigned char pack[400];
    char out[1000];
    size_t n = pack_of(pack, 100);
    for (size_t i = 8; i < n; i++) {
        struct mrp_hub *hub = NULL;
        struct mrp_error err = {0};
        assert_int_equal(mrp_hub_new(&hub, *state, 1, &err), 0);
        pack[i] ^= 0x10;
        assert_int_equal(mrp_hub_add(hub, (char *)pack, n, &err), 0);
        assert_int_equal(mrp_hub_close(hub, &err), MRP_E_NET);
        mrp_hub_break(hub, &err);
        assert_int_equal(mrp_hub_read(mrp_hub_reader(hub, 0), out, sizeof out), MRP_HTTP_ABORT);
        pack[i] ^= 0x10;
        mrp_hub_free(&hub);
    }
    struct mrp_hub *hub = NULL;
    struct mrp_error err = {0};
    assert_int_equal(mrp_hub_new(&hub, *state, 1, &err), 0);
    assert_int_equal(mrp_hub_add(hub, "<html>no pack</html>", 20, &err), MRP_E_REMOTE);
    mrp_hub_free(&hub);
    assert_int_equal(mrp_hub_new(&hub, *state, 1, &err), 0);
    assert_int_equal(mrp_hub_close(hub, &err), MRP_E_NET);
    assert_int_equal(mrp_hub_add_empty(hub, &err), 0);
    assert_int_equal(mrp_hub_read(mrp_hub_reader(hub, 0), out, sizeof out), 32);
    mrp_hub_free(&hub);
}

static void slow_reader_stops_the_source(void **state)
{
    struct mrp_hub *hub = NULL;
    struct mrp_error err = {0};
    static char data[16384];
    memcpy(data, "PACK\0\0\0\2\0\0\0\1", 12);
    assert_int_equal(mrp_hub_new(&hub, *state, 2, &err), 0);
    size_t added = 0;
    while (mrp_hub_room(hub, sizeof data)) {
        assert_int_equal(mrp_hub_add(hub, data, sizeof data, &err), 0);
        added += sizeof data;
    }
    assert_true(added >= 128 << 10 && added <= 512 << 10);
    char out[16384];
    assert_int_equal(mrp_hub_read(mrp_hub_reader(hub, 0), out, sizeof out), sizeof out);
    assert_false(mrp_hub_room(hub, sizeof data)); /* the other one still holds it */
    mrp_hub_leave(mrp_hub_reader(hub, 1));
    assert_true(mrp_hub_room(hub, sizeof data));
    assert_true(mrp_hub_wanted(hub));
    mrp_hub_leave(mrp_hub_reader(hub, 0));
    assert_false(mrp_hub_wanted(hub));
    mrp_hub_free(&hub);
}

static size_t entry(unsigned char *out, int type, const void *data, size_t len)
{
    size_t n = 0, size = len;
    out[n] = (unsigned char)((unsigned)type << 4 | (size & 15));
    size >>= 4;
    while (size) {
        out[n++] |= 0x80;
        out[n] = size & 0x7f;
        size >>= 7;
    }
    n++;
    uLongf room = 4096;
    assert_int_equal(compress(out + n, &room, data, len), Z_OK);
    return n + room;
}

static void pointers_in_passing(void **state)
{
    (void)state;
    char text[200];
    int len =
        snprintf(text, sizeof text,
                 "version https://git-lfs.github.com/spec/v1\noid sha256:"
                 "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n");
    unsigned char data[4096];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 31 + i / 7);
    size_t at = 1000, n = entry(data + at, 3, text, (size_t)len);
    n = at + n + 600;
    for (size_t cut = 900; cut < 1300; cut++) {
        struct mrp_lfs s = {0};
        mrp_lfs_scan(&s, data, cut);
        mrp_lfs_scan(&s, data + cut, n - cut);
        assert_int_equal(s.found, 1);
    }
    for (size_t piece = 1; piece < 200; piece += 3) {
        struct mrp_lfs s = {0};
        for (size_t i = 0; i < n; i += piece)
            mrp_lfs_scan(&s, data + i, n - i < piece ? n - i : piece);
        assert_int_equal(s.found, 1);
    }
    struct mrp_lfs s = {0};
    entry(data + at, 1, text, (size_t)len); /* a commit of these words is none */
    mrp_lfs_scan(&s, data, n);
    assert_int_equal(s.found, 0);
}

static void parents_in_a_pack(void **state)
{
    (void)state;
    struct mrp_oid parent;
    memset(&parent, 0x11, sizeof parent);
    static const char commit[] = "tree 2222222222222222222222222222222222222222\n"
                                 "parent 3333333333333333333333333333333333333333\n"
                                 "parent 1111111111111111111111111111111111111111\n"
                                 "author x\n\nparent 4444444444444444444444444444444444444444\n";
    unsigned char pack[2048] = "PACK\0\0\0\2\0\0\0\2";
    size_t n = 12;
    n += entry(pack + n, 1, commit, sizeof commit - 1);
    n += entry(pack + n, 2, "tree", 4);
    for (int known = 0; known < 3; known++) {
        memset(&parent, known == 0 ? 0x11 : known == 1 ? 0x22 : 0x44, sizeof parent);
        for (size_t piece = 1; piece < 80; piece += 7) {
            struct mrp_commits *c = NULL;
            struct mrp_error err = {0};
            bool over = false;
            assert_int_equal(mrp_commits_new(&c, &parent, &err), 0);
            for (size_t i = 0; i < n && !over; i += piece)
                assert_int_equal(mrp_commits_feed(c, (char *)pack + i,
                                                  n - i < piece ? n - i : piece, &over, &err),
                                 0);
            assert_true(over);
            assert_int_equal(mrp_commits_found(c), known == 0);
            mrp_commits_free(&c);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(trailer_is_held_back, start, end),
        cmocka_unit_test_setup_teardown(damage_at_any_byte_is_seen, start, end),
        cmocka_unit_test_setup_teardown(slow_reader_stops_the_source, start, end),
        cmocka_unit_test(pointers_in_passing),
        cmocka_unit_test(parents_in_a_pack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
