/* Packed blocks: inflate gives the file back, order and bytes do not depend on threads, failures
 * end cleanly. */
#include "../check.h"

#include "deflate.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/file.h>
#include <mrpipe/text.h>

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { FILES = 40, MIB = 1 << 20 };

struct fixture {
    char *dir;
    struct mrp_pack_list list;
};

static size_t size_of(size_t i)
{
    static const size_t sizes[] = {0, 1, 5, MIB - 1, MIB, MIB + 1, 3 * MIB + 7};
    return i < MRP_COUNT(sizes) ? sizes[i] : i * 997;
}

static char byte_of(size_t i, size_t at)
{
    return (char)(i % 3 == 0 ? at * 2654435761u >> 13 : at / (i + 1));
}

static void setup(struct fixture *f)
{
    struct mrp_error err = {0};
    assert_int_equal(mrp_temp_dir(&f->dir, "deflate", &err), 0);
    f->list.files = calloc(FILES, sizeof *f->list.files);
    f->list.cap = f->list.count = FILES;
    for (size_t i = 0; i < FILES; i++) {
        struct mrp_pack_file *p = &f->list.files[i];
        p->name = mrp_strf("%zu", i);
        p->path = mrp_strf("%s/%zu", f->dir, i);
        p->size = size_of(i);
        p->mode = S_IFREG | 0644;
        f->list.bytes += p->size;
        char *data = malloc(p->size + 1);
        assert_non_null(data);
        for (size_t k = 0; k < p->size; k++)
            data[k] = byte_of(i, k);
        assert_int_equal(mrp_file_write(p->path, data, p->size, 0644, false, &err), 0);
        free(data);
    }
}

static void teardown(struct fixture *f)
{
    struct mrp_error err = {0};
    mrp_pack_list_done(&f->list);
    assert_int_equal(mrp_remove_tree(f->dir, &err), 0);
    free(f->dir);
}

struct sink {
    const struct mrp_pack_list *list;
    struct mrp_buf all, one;
    size_t next, stop_at;
    uint32_t crc;
    bool stored;
};

static void check_file(const struct sink *s, size_t i)
{
    size_t size = (size_t)s->list->files[i].size;
    unsigned char *plain = malloc(size + 1);
    assert_non_null(plain);
    if (s->stored) {
        assert_int_equal(s->one.len, size);
        if (size)
            memcpy(plain, s->one.data, size);
    } else {
        z_stream z = {.next_in = (unsigned char *)s->one.data,
                      .avail_in = (uInt)s->one.len,
                      .next_out = plain,
                      .avail_out = (uInt)size + 1};
        assert_int_equal(inflateInit2(&z, -15), Z_OK);
        assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
        assert_int_equal(z.total_out, size);
        inflateEnd(&z);
    }
    for (size_t k = 0; k < size; k++)
        if ((char)plain[k] != byte_of(i, k))
            fail_msg("file %zu differs at %zu", i, k);
    assert_int_equal(crc32(0, plain, (uInt)size), s->crc);
    free(plain);
}

static int take(void *arg, const struct mrp_packed *b, struct mrp_error *err)
{
    struct sink *s = arg;
    assert_int_equal(b->file, s->next);
    if (b->file == s->stop_at)
        return mrp_fail(err, MRP_E_CANCELLED, "enough");
    s->crc = b->first ? b->crc : (uint32_t)crc32_combine(s->crc, b->crc, (z_off_t)b->size);
    s->stored = b->stored;
    assert_true(!b->stored || (b->first && b->last));
    assert_int_equal(mrp_buf_add(&s->one, b->data, b->len), 0);
    assert_int_equal(mrp_buf_add(&s->all, b->data, b->len), 0);
    if (b->last) {
        check_file(s, b->file);
        mrp_buf_reset(&s->one);
        s->next++;
    }
    return 0;
}

static int run(struct sink *s,
               const struct fixture *f,
               unsigned threads,
               size_t stop_at,
               struct mrp_error *err)
{
    *s = (struct sink){.list = &f->list, .stop_at = stop_at};
    mrp_buf_init(&s->all, 64 * MIB);
    mrp_buf_init(&s->one, 64 * MIB);
    const struct mrp_deflate_how how = {6, threads, take, s};
    return mrp_deflate_files(&f->list, &how, err);
}

static void done(struct sink *s)
{
    mrp_buf_done(&s->all);
    mrp_buf_done(&s->one);
}

static void round_trip(void **state)
{
    struct fixture f = {0};
    struct sink first, other;
    struct mrp_error err = {0};
    (void)state;
    setup(&f);
    assert_int_equal(run(&first, &f, 1, SIZE_MAX, &err), 0);
    assert_int_equal(first.next, FILES);
    for (unsigned threads = 2; threads <= 9; threads += 7) {
        assert_int_equal(run(&other, &f, threads, SIZE_MAX, &err), 0);
        assert_int_equal(other.all.len, first.all.len);
        assert_memory_equal(other.all.data, first.all.data, first.all.len);
        done(&other);
    }
    done(&first);
    teardown(&f);
}

static void failures(void **state)
{
    struct fixture f = {0};
    struct sink s;
    struct mrp_error err = {0};
    (void)state;
    setup(&f);
    for (unsigned threads = 1; threads < 4; threads++) {
        assert_int_equal(run(&s, &f, threads, 11, &err), MRP_E_CANCELLED);
        done(&s);
    }
    assert_int_equal(truncate(f.list.files[20].path, 3), 0);
    for (unsigned threads = 1; threads < 4; threads++) {
        assert_int_equal(run(&s, &f, threads, SIZE_MAX, &err), MRP_E_ARTIFACT);
        assert_non_null(strstr(err.msg, "changed while it was packed"));
        assert_int_equal(s.next, 20);
        done(&s);
    }
    assert_int_equal(unlink(f.list.files[5].path), 0);
    assert_int_equal(run(&s, &f, 4, SIZE_MAX, &err), MRP_E_IO);
    done(&s);
    teardown(&f);
}

static void nothing(void **state)
{
    struct mrp_pack_list none = {0};
    struct mrp_error err = {0};
    const struct mrp_deflate_how how = {6, 0, take, NULL};
    (void)state;
    assert_int_equal(mrp_deflate_files(&none, &how, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(failures),
        cmocka_unit_test(nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
