/* span, buf, arena, err */
#include "unit.h"
#include <errno.h>
#include <protobuf-c/protobuf-c.h>
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

static void spans_compare_as_bytes(void **state)
{
    (void)state;
    assert_true(span_cmp(SPAN_LITERAL("a"), SPAN_LITERAL("b")) < 0);
    assert_true(span_cmp(SPAN_LITERAL("a"), SPAN_LITERAL("a\0")) < 0);
    assert_true(span_cmp(SPAN_LITERAL("\xff"), SPAN_LITERAL("a")) > 0);
    assert_true(span_cmp(SPAN_NONE, SPAN_LITERAL("")) == 0);
    assert_true(span_cmp(SPAN_NONE, SPAN_LITERAL("x")) < 0);
    assert_true(span_ieq(SPAN_LITERAL("Content-MD5"), SPAN_LITERAL("content-md5")));
    assert_false(span_ieq(SPAN_LITERAL("@"), SPAN_LITERAL("`"))); /* differ in the case bit, but are no letters */
    assert_false(span_ieq(SPAN_LITERAL("a"), SPAN_LITERAL("ab")));
    assert_true(span_eq(SPAN_NONE, SPAN_LITERAL("")));
}

static void spans_are_searched_and_split(void **state)
{
    (void)state;
    struct span head, rest;
    assert_int_equal(span_find(SPAN_LITERAL("hello"), SPAN_LITERAL("lo")), 3);
    assert_int_equal(span_find(SPAN_LITERAL("hello"), SPAN_LITERAL("")), 0);
    assert_int_equal(span_find(SPAN_NONE, SPAN_LITERAL("x")), -1);
    assert_int_equal(span_find_byte(SPAN_NONE, 'x'), -1);
    rest = span_split(SPAN_LITERAL("a,b,"), ',', &head);
    assert_true(span_eq_str(head, "a") && span_eq_str(rest, "b,"));
    rest = span_split(rest, ',', &head);
    assert_true(span_eq_str(head, "b") && rest.len == 0);
    assert_non_null(rest.ptr); /* an empty last element, not the end */
    rest = span_split(rest, ',', &head);
    assert_true(head.len == 0 && rest.ptr == NULL);
    assert_true(span_eq_str(span_trim(SPAN_LITERAL(" \t a b \t")), "a b"));
    assert_int_equal(span_trim(SPAN_LITERAL("  ")).len, 0);
    assert_int_equal(span_skip(SPAN_LITERAL("ab"), 5).len, 0);
}

static void numbers_are_strict(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "0x1", "1a", "18446744073709551616", "99999999999999999999999"};
    uint64_t value = 77;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(span_to_u64(span_str(bad[i]), &value), ERR_INVALID);
    assert_int_equal(value, 77);
    assert_int_equal(span_to_u64(SPAN_LITERAL("18446744073709551615"), &value), 0);
    assert_true(value == UINT64_MAX);
    assert_int_equal(span_to_u64(SPAN_LITERAL("007"), &value), 0);
    assert_true(value == 7);
}

static void a_buffer_grows_to_its_cap(void **state)
{
    (void)state;
    struct buf buf = {.cap = 1000};
    for (int i = 0; i < 100; i++)
        buf_append_str(&buf, "0123456789");
    assert_int_equal(buf.failed, 0);
    assert_int_equal(buf.len, 1000);
    assert_true(buf.allocated <= 1000);
    buf_append_str(&buf, "x");
    assert_int_equal(buf.failed, ERR_TOO_LARGE);
    buf_append(&buf, SPAN_NONE); /* sticky */
    assert_int_equal(buf.failed, ERR_TOO_LARGE);
    assert_null(buf_reserve(&buf, 0));
    assert_int_equal(buf.len, 1000);
    buf_free(&buf);
    assert_null(buf_reserve(&buf, SIZE_MAX));
    assert_int_equal(buf.failed, ERR_TOO_LARGE);
    buf_free(&buf);
    assert_non_null(buf_reserve(&buf, 0));
    buf_free(&buf);
}

static void a_buffer_takes_numbers_and_formats(void **state)
{
    (void)state;
    struct buf buf = {0};
    char big[700];
    memset(big, 'y', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    buf_append_u64(&buf, 0);
    buf_append_u64(&buf, UINT64_MAX);
    buf_printf(&buf, "-%d-%s", 5, "x");
    assert_true(span_eq_str(buf_span(&buf), "018446744073709551615-5-x"));
    size_t before = buf.len;
    buf_printf(&buf, "%s|", big);
    assert_int_equal(buf.len, before + 700);
    assert_int_equal(buf.ptr[buf.len - 1], '|');
    buf_free(&buf);
}

static void an_arena_ends_at_its_limit(void **state)
{
    (void)state;
    struct arena *arena = arena_create(10080);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10; i++) {
            uint8_t *place = arena_alloc(arena, 1008);
            assert_non_null(place);
            assert_int_equal((uintptr_t)place % _Alignof(max_align_t), 0);
            memset(place, i, 1000);
        }
        assert_int_equal(arena_used(arena), 10080);
        assert_null(arena_alloc(arena, 1));
        assert_null(arena_alloc(arena, SIZE_MAX));
        assert_null(arena_strdup(arena, SPAN_LITERAL("x")));
        assert_null(arena_dup(arena, SPAN_LITERAL("x")).ptr);
        assert_null(arena_printf(arena, "%d", 1));
        arena_reset(arena);
        assert_int_equal(arena_used(arena), 0);
    }
    /* Small ones count with what aligns them: else a client's many short strings would take many times the limit. */
    size_t count = 0;
    while (arena_alloc(arena, 1) != NULL)
        count++;
    assert_int_equal(count, 10080 / _Alignof(max_align_t));
    arena_free(arena);
    arena_free(NULL);
}

static void an_arena_copies(void **state)
{
    (void)state;
    struct arena *arena = arena_create((size_t)4 << 20);
    struct span copy = arena_dup(arena, SPAN_LITERAL("a\0b"));
    assert_true(span_eq(copy, SPAN_LITERAL("a\0b")));
    assert_int_equal(copy.ptr[3], '\0');
    assert_string_equal(arena_strdup(arena, SPAN_NONE), "");
    assert_string_equal(arena_printf(arena, "%s-%d", "x", 12), "x-12");
    uint8_t *large = arena_zalloc(arena, 3000000);
    assert_non_null(large);
    assert_int_equal(large[2999999], 0);
    ProtobufCAllocator *allocator = arena_protobuf(arena);
    void *place = allocator->alloc(allocator->allocator_data, 16);
    assert_non_null(place);
    allocator->free(allocator->allocator_data, place);
    arena_free(arena);
}

static void each_error_has_a_text_and_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < ERR_POSITIVE_END; i++) {
        assert_non_null(err_text(-i));
        assert_true(strlen(err_name(-i)) > 1);
    }
    assert_string_equal(err_name(ERR_NO_SUCH_ACCESS_KEY), "no_such_access_key");
    assert_string_equal(err_name(ERR_BAD_SHA256), "bad_sha256");
    assert_string_equal(err_text(ERR_NOMEM), "out of memory");
    assert_string_equal(err_text(1), "unknown error");
    assert_string_equal(err_text(-ERR_POSITIVE_END), "unknown error");
    assert_string_equal(err_name(INT32_MIN), "unknown");
    assert_int_equal(err_from_errno(EDQUOT), ERR_NOSPC);
    assert_int_equal(err_from_errno(EIO), ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_compare_as_bytes),
        cmocka_unit_test(spans_are_searched_and_split),
        cmocka_unit_test(numbers_are_strict),
        cmocka_unit_test(a_buffer_grows_to_its_cap),
        cmocka_unit_test(a_buffer_takes_numbers_and_formats),
        cmocka_unit_test(an_arena_ends_at_its_limit),
        cmocka_unit_test(an_arena_copies),
        cmocka_unit_test(each_error_has_a_text_and_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
