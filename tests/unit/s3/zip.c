/* Zip records byte by byte, with zip64 at every limit. */
#include "../check.h"

#include "zip.h"

#include <sys/stat.h>

static uint64_t le(const struct mrp_buf *b, size_t at, int bytes)
{
    uint64_t v = 0;
    assert_true(at + (size_t)bytes <= b->len);
    for (int i = bytes; i-- > 0;)
        v = v << 8 | (unsigned char)b->data[at + (size_t)i];
    return v;
}

static struct mrp_zip_entry entry(const char *name)
{
    return (struct mrp_zip_entry){.name = name,
                                  .mode = S_IFREG | 0755,
                                  .mtime_s = 1600000000, /* 2020-09-13 12:26:40 */
                                  .method = MRP_ZIP_DEFLATED,
                                  .crc = 0x01020304,
                                  .packed = 5,
                                  .size = 9,
                                  .offset = 77};
}

static void local(void **state)
{
    struct mrp_buf b = MRP_BUF_INIT(4096);
    struct mrp_zip_entry e = entry("a/b");
    (void)state;
    mrp_zip_local(&b, &e);
    assert_int_equal(b.len, 33);
    assert_int_equal(le(&b, 0, 4), 0x04034b50);
    assert_int_equal(le(&b, 4, 2), 20);
    assert_int_equal(le(&b, 6, 2), 0); /* no descriptor, no UTF-8 */
    assert_int_equal(le(&b, 8, 2), 8);
    assert_int_equal(le(&b, 10, 2), 12 << 11 | 26 << 5 | 20);
    assert_int_equal(le(&b, 12, 2), 40 << 9 | 9 << 5 | 13);
    assert_int_equal(le(&b, 14, 4), 0x01020304);
    assert_int_equal(le(&b, 18, 4), 5);
    assert_int_equal(le(&b, 22, 4), 9);
    assert_int_equal(le(&b, 26, 2), 3);
    assert_int_equal(le(&b, 28, 2), 0);
    assert_memory_equal(b.data + 30, "a/b", 3);
    mrp_buf_done(&b);
}

static void utf8_and_times(void **state)
{
    struct mrp_buf b = MRP_BUF_INIT(4096);
    struct mrp_zip_entry e = entry("\xc3\xb6");
    (void)state;
    e.mtime_s = 0;
    mrp_zip_local(&b, &e);
    assert_int_equal(le(&b, 6, 2), 0x800);
    assert_int_equal(le(&b, 10, 4), 0x00210000); /* 1980-01-01 */
    mrp_buf_reset(&b);
    e.mtime_s = INT64_MAX;
    mrp_zip_local(&b, &e);
    assert_int_equal(le(&b, 12, 2), 127 << 9 | 12 << 5 | 31);
    mrp_buf_done(&b);
}

static void big_local(void **state)
{
    struct mrp_buf b = MRP_BUF_INIT(4096);
    struct mrp_zip_entry e = entry("x");
    (void)state;
    e.big = true;
    e.size = UINT64_C(5) << 30;
    e.packed = UINT64_C(6) << 30;
    mrp_zip_local(&b, &e);
    assert_int_equal(le(&b, 4, 2), 45);
    assert_int_equal(le(&b, 18, 4), 0xffffffff);
    assert_int_equal(le(&b, 22, 4), 0xffffffff);
    assert_int_equal(le(&b, 28, 2), 20);
    assert_int_equal(le(&b, 31, 2), 1);
    assert_int_equal(le(&b, 33, 2), 16);
    assert_true(le(&b, 35, 8) == e.size);
    assert_true(le(&b, 43, 8) == e.packed);
    mrp_buf_done(&b);
}

static void central(void **state)
{
    struct mrp_buf b = MRP_BUF_INIT(4096);
    struct mrp_zip_entry e = entry("x");
    (void)state;
    mrp_zip_central(&b, &e);
    assert_int_equal(b.len, 47);
    assert_int_equal(le(&b, 4, 2), 3 << 8 | 20);
    assert_int_equal(le(&b, 38, 4), (S_IFREG | 0755u) << 16);
    assert_int_equal(le(&b, 42, 4), 77);
    mrp_buf_reset(&b);
    e.offset = UINT64_C(0xffffffff);
    mrp_zip_central(&b, &e);
    assert_int_equal(le(&b, 42, 4), 0xffffffff);
    assert_int_equal(le(&b, 30, 2), 12);
    assert_int_equal(le(&b, 20, 4), 5); /* only the offset is far away */
    assert_true(le(&b, 51, 8) == e.offset);
    mrp_buf_reset(&b);
    e.big = true;
    mrp_zip_central(&b, &e);
    assert_int_equal(le(&b, 30, 2), 28);
    assert_true(le(&b, 51, 8) == e.size && le(&b, 59, 8) == e.packed && le(&b, 67, 8) == e.offset);
    mrp_buf_done(&b);
}

static void end(void **state)
{
    struct mrp_buf b = MRP_BUF_INIT(4096);
    (void)state;
    mrp_zip_end(&b, 2, 100, 50);
    assert_int_equal(b.len, 22);
    assert_int_equal(le(&b, 10, 2), 2);
    assert_int_equal(le(&b, 12, 4), 50);
    assert_int_equal(le(&b, 16, 4), 100);
    mrp_buf_reset(&b);
    mrp_zip_end(&b, 65535, 100, 50);
    assert_int_equal(b.len, 56 + 20 + 22);
    assert_int_equal(le(&b, 0, 4), 0x06064b50);
    assert_true(le(&b, 24, 8) == 65535 && le(&b, 40, 8) == 50 && le(&b, 48, 8) == 100);
    assert_int_equal(le(&b, 56, 4), 0x07064b50);
    assert_int_equal(le(&b, 64, 8), 150);
    assert_int_equal(le(&b, 76 + 10, 2), 0xffff);
    mrp_buf_done(&b);
}

static void limits(void **state)
{
    (void)state;
    assert_false(mrp_zip_is_big(0));
    assert_false(mrp_zip_is_big(UINT64_C(4) << 30 >> 1));
    assert_true(mrp_zip_is_big(UINT64_C(0xffffffff)));
    assert_true(mrp_zip_is_big(UINT64_C(0xffffffff) - 1000)); /* deflate may add more than that */
    assert_true(mrp_zip_is_big(UINT64_C(1) << 40));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local),     cmocka_unit_test(utf8_and_times),
        cmocka_unit_test(big_local), cmocka_unit_test(central),
        cmocka_unit_test(end),       cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
