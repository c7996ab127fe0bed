/* The parsers of git's wire formats, fed in pieces of every size. */
#include "advert.h"
#include "band.h"
#include "pkt.h"
#include "pull_body.h"
#include "report.h"

#include <mrpipe/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define A "1111111111111111111111111111111111111111"
#define B "2222222222222222222222222222222222222222"
#define ZERO "0000000000000000000000000000000000000000"

/* Packets of the texts; NULL ends, "" is a flush. */
static size_t packets(char *out, size_t cap, const char *const *lines)
{
    struct mrp_buf buf = MRP_BUF_INIT(1 << 20);
    for (; *lines; lines++)
        if (**lines)
            assert_int_equal(mrp_pkt_addf(&buf, "%s", *lines), 0);
        else
            assert_int_equal(mrp_pkt_flush(&buf), 0);
    assert_true(buf.len < cap);
    memcpy(out, mrp_buf_str(&buf), buf.len);
    size_t n = buf.len;
    mrp_buf_done(&buf);
    return n;
}

struct seen {
    unsigned data, flush, delim;
    size_t bytes;
};

static int
count(void *arg, enum mrp_pkt_kind kind, const char *data, size_t len, struct mrp_error *err)
{
    struct seen *s = arg;
    (void)data;
    (void)err;
    s->data += kind == MRP_PKT_DATA;
    s->flush += kind == MRP_PKT_FLUSH;
    s->delim += kind == MRP_PKT_DELIM;
    s->bytes += len;
    return 0;
}

static void pkt_in_any_pieces(void **state)
{
    (void)state;
    static const char text[] = "0006a\n0005b00000004000100100123456789ab";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct mrp_pkt_reader r = MRP_PKT_READER_INIT;
        struct seen s = {0};
        struct mrp_error err = {0};
        for (size_t i = 0; i < sizeof text - 1; i += piece) {
            size_t n = sizeof text - 1 - i < piece ? sizeof text - 1 - i : piece;
            assert_int_equal(mrp_pkt_feed(&r, text + i, n, count, &s, &err), 0);
        }
        assert_int_equal(s.data, 4);
        assert_int_equal(s.flush, 1);
        assert_int_equal(s.delim, 1);
        assert_int_equal(s.bytes, 2 + 1 + 0 + 12);
        assert_true(mrp_pkt_idle(&r));
        mrp_pkt_reader_done(&r);
    }
}

static void pkt_refuses_bad_lengths(void **state)
{
    (void)state;
    static const char *const bad[] = {"zzzz", "0002", "0003", "fff1",
                                      "ffff", " 005", "-001", "0x10"};
    for (size_t i = 0; i < MRP_COUNT(bad); i++) {
        struct mrp_pkt_reader r = MRP_PKT_READER_INIT;
        struct seen s = {0};
        struct mrp_error err = {0};
        assert_int_equal(mrp_pkt_feed(&r, bad[i], 4, count, &s, &err), MRP_E_REMOTE);
        mrp_pkt_reader_done(&r);
    }
    assert_int_equal(mrp_pkt_length("fff0"), 65520);
    assert_int_equal(mrp_pkt_length("FFF0"), 65520);
    assert_int_equal(mrp_pkt_length("00g0"), -1);
}

static int advert(struct mrp_refs *refs,
                  const char *text,
                  size_t len,
                  size_t piece,
                  bool http,
                  struct mrp_error *err)
{
    struct mrp_advert a;
    mrp_advert_init(&a, refs, MRP_UPLOAD_PACK, http);
    int rc = 0;
    for (size_t i = 0; i < len && !rc; i += piece)
        rc = mrp_advert_feed(&a, text + i, len - i < piece ? len - i : piece, err);
    if (!rc)
        rc = mrp_advert_finish(&a, err);
    mrp_advert_done(&a);
    return rc;
}

static size_t with_caps(char *out, const char *oid, const char *name, const char *caps)
{
    char line[1024];
    int n = snprintf(line, sizeof line, "0000%s %s%c%s\n", oid, name, '\0', caps);
    char head[5];
    snprintf(head, sizeof head, "%04x", (unsigned)n & 0xffffu);
    memcpy(line, head, 4);
    memcpy(out, line, (size_t)n);
    return (size_t)n;
}

static void advertisement_of_a_server(void **state)
{
    (void)state;
    char text[4096];
    static const char *const start[] = {"# service=git-upload-pack\n", "", NULL};
    static const char *const rest[] = {B " refs/heads/dev\n",
                                       A " refs/heads/main\n",
                                       B " refs/tags/v1\n",
                                       A " refs/tags/v1^{}\n",
                                       B " refs/heads/../x\n",
                                       B " .have\n",
                                       A " refs/heads/caf\xc3\xa9\n",
                                       "",
                                       NULL};
    size_t n = packets(text, sizeof text, start);
    n += with_caps(text + n, A, "HEAD",
                   "multi_ack thin-pack side-band-64k ofs-delta symref=HEAD:refs/heads/main "
                   "object-format=sha1 agent=git/2");
    n += packets(text + n, sizeof text - n, rest);
    for (size_t piece = 1; piece < 200; piece++) {
        struct mrp_refs refs = {0};
        struct mrp_error err = {0};
        assert_int_equal(advert(&refs, text, n, piece, true, &err), 0);
        assert_int_equal(refs.count, 4);
        assert_string_equal(refs.list[0].name, "refs/heads/caf\xc3\xa9");
        assert_string_equal(refs.list[3].name, "refs/tags/v1");
        assert_string_equal(refs.head, "refs/heads/main");
        assert_int_equal(refs.extra.count, 2);
        assert_true(refs.odd_names);
        assert_true(mrp_refs_can(&refs, "side-band-64k"));
        assert_true(mrp_refs_can(&refs, "agent"));
        assert_false(mrp_refs_can(&refs, "side-band"));
        assert_non_null(mrp_refs_find(&refs, "refs/heads/main"));
        assert_null(mrp_refs_find(&refs, "refs/heads/mai"));
        struct mrp_oids all = {0};
        assert_int_equal(mrp_refs_all_oids(&all, &refs, &err), 0);
        assert_int_equal(all.count, 2);
        mrp_oids_done(&all);
        mrp_refs_done(&refs);
    }
    /* cut at any byte it is never a shorter list */
    for (size_t cut = 0; cut < n; cut++) {
        struct mrp_refs refs = {0};
        struct mrp_error err = {0};
        assert_int_not_equal(advert(&refs, text, cut, 64, true, &err), 0);
        mrp_refs_done(&refs);
    }
}

static void expect_advert(const char *const *lines, bool http, int code, const char *words)
{
    char text[4096];
    size_t n = packets(text, sizeof text, lines);
    struct mrp_refs refs = {0};
    struct mrp_error err = {0};
    int rc = advert(&refs, text, n, 7, http, &err);
    assert_int_equal(rc, code);
    if (words && !strstr(err.msg, words))
        fail_msg("\"%s\" lacks \"%s\"", err.msg, words);
    mrp_refs_done(&refs);
}

static void advertisements_that_are_special(void **state)
{
    (void)state;
    static const char *const empty[] = {"# service=git-upload-pack\n", "", "", NULL};
    static const char *const none[] = {"", NULL};
    static const char *const v1[] = {"version 1\n", A " refs/heads/a\n", "", NULL};
    static const char *const v2[] = {"version 2\n", "", NULL};
    static const char *const said[] = {"ERR no such repository\n", NULL};
    static const char *const shallow[] = {A " refs/heads/a\n", "shallow " B "\n", "", NULL};
    static const char *const twice[] = {A " refs/heads/a\n", A " refs/heads/b\n",
                                        B " refs/heads/a\n", "", NULL};
    static const char *const sha256[] = {A "111111111111111111111111 refs/heads/a\n", "", NULL};
    static const char *const junk[] = {"hello\n", "", NULL};
    static const char *const dumb[] = {"# service=git-receive-pack\n", "", NULL};
    expect_advert(empty, true, 0, NULL);
    expect_advert(none, false, 0, NULL);
    expect_advert(v1, false, 0, NULL);
    expect_advert(v2, false, MRP_E_REMOTE, "protocol 2");
    expect_advert(said, false, MRP_E_REMOTE, "no such repository");
    expect_advert(said, true, MRP_E_REMOTE, "no such repository");
    expect_advert(shallow, false, 0, NULL);
    expect_advert(twice, false, MRP_E_REMOTE, "twice");
    expect_advert(sha256, false, MRP_E_CONFIG, "SHA-256");
    expect_advert(junk, false, MRP_E_REMOTE, "malformed");
    expect_advert(dumb, true, MRP_E_REMOTE, "service");
}

static void names_of_refs(void **state)
{
    (void)state;
    static const char *const good[] = {"refs/heads/a", "refs/tags/v1.0", "refs/heads/a@b",
                                       "refs/x/y/z",   "refs/heads/-x",  "refs/heads/\xff\xfe",
                                       "refs/heads/@"};
    static const char *const bad[] = {
        "HEAD",           "refs/",           "refs/heads/",       "refs/heads//a",
        "refs/heads/.a",  "refs/heads/a..b", "refs/heads/a.lock", "refs/heads/a b",
        "refs/heads/a~",  "refs/heads/a^",   "refs/heads/a:b",    "refs/heads/a?",
        "refs/heads/a*",  "refs/heads/a[",   "refs/heads/a\\",    "refs/heads/a@{1}",
        "refs/heads/a.",  "refs/a.lock/b",   "refs/heads/a\n",    "refs/heads/\x7f",
        "../refs/heads/a"};
    for (size_t i = 0; i < MRP_COUNT(good); i++)
        assert_true(mrp_ref_name_ok(good[i], strlen(good[i])));
    for (size_t i = 0; i < MRP_COUNT(bad); i++)
        if (mrp_ref_name_ok(bad[i], strlen(bad[i])))
            fail_msg("%s", bad[i]);
    char *shown = mrp_show_name("a\xff\x01", 3);
    assert_string_equal(shown, "a%FF%01");
    free(shown);
}

static int take_pack(void *arg, const char *data, size_t len, struct mrp_error *err)
{
    (void)err;
    return mrp_buf_add(arg, data, len);
}

static int band(struct mrp_buf *out,
                const char *text,
                size_t len,
                size_t piece,
                bool side_band,
                struct mrp_error *err)
{
    struct mrp_band b = {.side_band = side_band, .pack = take_pack, .arg = out};
    int rc = 0;
    for (size_t i = 0; i < len && !rc; i += piece)
        rc = mrp_band_feed(&b, text + i, len - i < piece ? len - i : piece, err);
    return rc ? rc : mrp_band_finish(&b, err);
}

static void side_band_in_any_pieces(void **state)
{
    (void)state;
    static const char text[] = "0008NAK\n"
                               "0031ACK 1111111111111111111111111111111111111111\n"
                               "0009\1PACK"
                               "0005\1"
                               "000d\2counting"
                               "0008\1"
                               "abc0000";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct mrp_buf out = MRP_BUF_INIT(1000);
        struct mrp_error err = {0};
        assert_int_equal(band(&out, text, sizeof text - 1, piece, true, &err), 0);
        assert_string_equal(mrp_buf_str(&out), "PACKabc");
        mrp_buf_done(&out);
    }
    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        struct mrp_buf out = MRP_BUF_INIT(1000);
        struct mrp_error err = {0};
        assert_int_not_equal(band(&out, text, cut, 5, true, &err), 0);
        mrp_buf_done(&out);
    }
}

static void raw_pack_and_fatal_words(void **state)
{
    (void)state;
    static const char raw[] = "0008NAK\nPACK....0000";
    for (size_t piece = 1; piece < sizeof raw; piece++) {
        struct mrp_buf out = MRP_BUF_INIT(1000);
        struct mrp_error err = {0};
        assert_int_equal(band(&out, raw, sizeof raw - 1, piece, false, &err), 0);
        assert_string_equal(mrp_buf_str(&out), "PACK....0000");
        mrp_buf_done(&out);
    }
    static const char *const fatal[] = {"0008NAK\n000d\3too big!", "0012ERR too big!\n\n",
                                        "000ftoo big! \n\n"};
    for (size_t i = 0; i < MRP_COUNT(fatal); i++) {
        struct mrp_buf out = MRP_BUF_INIT(1000);
        struct mrp_error err = {0};
        assert_int_equal(band(&out, fatal[i], strlen(fatal[i]), 3, true, &err), MRP_E_REMOTE);
        assert_non_null(strstr(err.msg, "too big!"));
        mrp_buf_done(&out);
    }
}

struct told {
    unsigned ok, ng;
    char words[64];
};

static int each(void *arg,
                const char *ref,
                size_t ref_len,
                const char *words,
                size_t words_len,
                struct mrp_error *err)
{
    struct told *t = arg;
    (void)ref;
    (void)err;
    assert_true(ref_len > 5);
    t->ok += words == NULL;
    t->ng += words != NULL;
    if (words)
        snprintf(t->words, sizeof t->words, "%.*s", (int)words_len, words);
    return 0;
}

static void report_banded_and_plain(void **state)
{
    (void)state;
    char inner[512], banded[2048];
    static const char *const lines[] = {"unpack ok\n",
                                        "ok refs/heads/a\n",
                                        "ng refs/heads/b hook declined\n",
                                        "option old-oid 1\n",
                                        "ok refs/heads/c",
                                        "",
                                        NULL};
    size_t n = packets(inner, sizeof inner, lines);
    /* the nested lines are cut at odd places over several packets of band 1 */
    struct mrp_buf out = MRP_BUF_INIT(4096);
    mrp_pkt_addf(&out, "\2remote: hello\n");
    for (size_t i = 0; i < n; i += 9)
        mrp_pkt_addf(&out, "\1%.*s", (int)(n - i < 9 ? n - i : 9), inner + i);
    mrp_pkt_flush(&out);
    memcpy(banded, mrp_buf_str(&out), out.len);
    size_t m = out.len;
    mrp_buf_done(&out);
    for (int plain = 0; plain < 2; plain++) {
        const char *text = plain ? inner : banded;
        size_t len = plain ? n : m;
        for (size_t piece = 1; piece < len; piece++) {
            struct told t = {0};
            struct mrp_report r;
            struct mrp_error err = {0};
            mrp_report_init(&r, each, &t);
            for (size_t i = 0; i < len; i += piece)
                assert_int_equal(
                    mrp_report_feed(&r, text + i, len - i < piece ? len - i : piece, &err), 0);
            assert_true(r.unpacked && r.ended && r.banded == !plain);
            assert_int_equal(t.ok, 2);
            assert_int_equal(t.ng, 1);
            assert_string_equal(t.words, "hook declined");
            mrp_report_done(&r);
        }
    }
}

static void report_of_trouble(void **state)
{
    (void)state;
    static const char *const lines[] = {"unpack index-pack abnormal exit\n",
                                        "ng refs/heads/a unpacker error\n", "", NULL};
    char text[512];
    size_t n = packets(text, sizeof text, lines);
    struct told t = {0};
    struct mrp_report r;
    struct mrp_error err = {0};
    mrp_report_init(&r, each, &t);
    assert_int_equal(mrp_report_feed(&r, text, n, &err), 0);
    assert_false(r.unpacked);
    assert_string_equal(r.unpack_words, "index-pack abnormal exit");
    mrp_report_done(&r);
    mrp_report_init(&r, each, &t);
    assert_int_equal(mrp_report_feed(&r, "000c\3no disk", 12, &err), MRP_E_REMOTE);
    assert_non_null(strstr(err.msg, "no disk"));
    mrp_report_done(&r);
    mrp_report_init(&r, each, &t);
    assert_int_equal(mrp_report_feed(&r, "000bwhatis\n", 11, &err), MRP_E_REMOTE);
    mrp_report_done(&r);
}

static void fetch_request_has_its_length(void **state)
{
    (void)state;
    struct mrp_refs refs = {
        .caps = mrp_strdup("side-band-64k thin-pack ofs-delta no-progress agent=x")};
    struct mrp_oids wants = {0}, haves = {0};
    struct mrp_error err = {0};
    struct mrp_oid id;
    assert_true(mrp_oid_parse(&id, A, 40));
    for (unsigned i = 0; i < 100; i++) {
        id.b[0] = (unsigned char)i;
        assert_int_equal(mrp_oids_add(&wants, &id, &err), 0);
        id.b[1] = 7;
        assert_int_equal(mrp_oids_add(&haves, &id, &err), 0);
    }
    struct mrp_pull pull = {
        .refs = &refs, .wants = &wants, .haves = &haves, .thin = true, .ofs_delta = true};
    struct mrp_pull_body b;
    mrp_pull_body_init(&b, &pull);
    for (int round = 0; round < 2; round++) {
        char buf[77];
        uint64_t total = 0;
        struct mrp_pkt_reader r = MRP_PKT_READER_INIT;
        struct seen s = {0};
        for (long n; (n = mrp_pull_body_read(&b, buf, sizeof buf)) > 0; total += (uint64_t)n)
            assert_int_equal(mrp_pkt_feed(&r, buf, (size_t)n, count, &s, &err), 0);
        assert_int_equal(total, mrp_pull_body_length(&b));
        assert_int_equal(s.data, 201);
        assert_int_equal(s.flush, 1);
        assert_true(mrp_pkt_idle(&r));
        mrp_pkt_reader_done(&r);
        assert_int_equal(mrp_pull_body_rewind(&b), 0);
    }
    assert_non_null(strstr(b.first, " side-band-64k no-progress ofs-delta thin-pack agent="));
    mrp_oids_done(&wants);
    mrp_oids_done(&haves);
    mrp_refs_done(&refs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pkt_in_any_pieces),
        cmocka_unit_test(pkt_refuses_bad_lengths),
        cmocka_unit_test(advertisement_of_a_server),
        cmocka_unit_test(advertisements_that_are_special),
        cmocka_unit_test(names_of_refs),
        cmocka_unit_test(side_band_in_any_pieces),
        cmocka_unit_test(raw_pack_and_fatal_words),
        cmocka_unit_test(report_banded_and_plain),
        cmocka_unit_test(report_of_trouble),
        cmocka_unit_test(fetch_request_has_its_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
