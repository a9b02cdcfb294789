#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/err.h"
#include "s3/checksums.h"
#include "s3/complete.h"
#include "s3/delete.h"
#include "s3/headers.h"
#include "s3/multipart.h"
#include "s3/token.h"
#include "s3/xml_in.h"

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    xml_setup();
    arena = arena_create(8 << 20);
    return arena == NULL;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void delete_lists(void **state)
{
    (void)state;
    struct delete_list list;
    assert_int_equal(
        delete_parse(SPAN_LITERAL("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>"
                                  "<Object><Key> a&amp;b </Key></Object>"
                                  "<Object><Key>k</Key><VersionId>null</VersionId><ETag>\"e\"</ETag>"
                                  "<Size>7</Size><LastModifiedTime>Tue, 14 Nov 2023 22:13:20 GMT"
                                  "</LastModifiedTime></Object>"
                                  "<Object><VersionId>3HL4</VersionId><Key>k</Key></Object></Delete>"),
                     arena, &list),
        0);
    assert_true(list.quiet);
    assert_int_equal(list.count, 3);
    assert_true(span_eq_str(list.entries[0].key, " a&b "));
    assert_null(list.entries[0].condition);
    assert_false(list.entries[1].other_version);
    assert_string_equal(list.entries[1].condition->if_match[0], "e");
    assert_int_equal(list.entries[1].condition->size, 7);
    assert_int_equal(list.entries[1].condition->modified_exact, 1700000000);
    assert_true(list.entries[2].other_version);
}

static void delete_lists_that_are_refused(void **state)
{
    (void)state;
    struct delete_list list;
    static const char *const bad[] = {
        "<Delete></Delete>",
        "<Delete><Object></Object></Delete>",
        "<Delete><Object><Key></Key></Object></Delete>",
        "<Delete><Object><Key>k</Key><Size>x</Size></Object></Delete>",
        "<Other><Object><Key>k</Key></Object></Other>",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(delete_parse(span_str(bad[i]), arena, &list), ERR_SYNTAX);
    struct buf xml = {0};
    buf_append_str(&xml, "<Delete>");
    for (int i = 0; i < DELETE_MAX; i++)
        buf_printf(&xml, "<Object><Key>k%d</Key></Object>", i);
    size_t fits = xml.len;
    buf_append_str(&xml, "</Delete>");
    assert_int_equal(delete_parse(buf_span(&xml), arena, &list), 0);
    assert_int_equal(list.count, DELETE_MAX);
    xml.len = fits;
    buf_append_str(&xml, "<Object><Key>more</Key></Object></Delete>");
    assert_int_equal(delete_parse(buf_span(&xml), arena, &list), ERR_SYNTAX);
    buf_free(&xml);
}

#define PART(n, etag) "<Part><PartNumber>" n "</PartNumber><ETag>" etag "</ETag></Part>"
#define COMPLETE(x)   SPAN_LITERAL("<CompleteMultipartUpload>" x "</CompleteMultipartUpload>")

static void part_lists(void **state)
{
    (void)state;
    struct complete_list list;
    assert_int_equal(complete_parse(COMPLETE(PART("1", "&quot;a&quot;") PART(
                                        "3", "b") "<Part><ChecksumCRC32>AAAAAQ==</ChecksumCRC32><ETag>c</ETag>"
                                                  "<PartNumber>10000</PartNumber></Part>"),
                                    arena, &list),
                     0);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.parts[0]->etag, "a");
    assert_int_equal(list.parts[1]->number, 3);
    assert_null(list.checksums[1]);
    assert_int_equal(list.checksum_count, 1);
    assert_int_equal(list.checksums[2]->kind, DIGEST_CRC32);
    assert_memory_equal(list.checksums[2]->value, "\0\0\0\1", 4);
}

static void part_lists_that_are_refused(void **state)
{
    (void)state;
    struct complete_list list;
    assert_int_equal(complete_parse(COMPLETE(""), arena, &list), ERR_SYNTAX);
    assert_int_equal(complete_parse(COMPLETE(PART("2", "a") PART("1", "b")), arena, &list), ERR_PART_ORDER);
    assert_int_equal(complete_parse(COMPLETE(PART("2", "a") PART("2", "b")), arena, &list), ERR_PART_ORDER);
    assert_int_equal(complete_parse(COMPLETE(PART("0", "a")), arena, &list), ERR_INVALID);
    assert_int_equal(complete_parse(COMPLETE(PART("10001", "a")), arena, &list), ERR_INVALID);
    assert_int_equal(complete_parse(COMPLETE(PART("4294967297", "a")), arena, &list), ERR_INVALID);
    assert_int_equal(complete_parse(COMPLETE(PART("x", "a")), arena, &list), ERR_SYNTAX);
    assert_int_equal(complete_parse(COMPLETE(PART("1", "")), arena, &list), ERR_SYNTAX);
    assert_int_equal(complete_parse(COMPLETE("<Part><ETag>a</ETag></Part>"), arena, &list), ERR_SYNTAX);
    assert_int_equal(complete_parse(COMPLETE("<Part><PartNumber>1</PartNumber><ETag>a</ETag>"
                                             "<ChecksumSHA1>AAAA</ChecksumSHA1></Part>"),
                                    arena, &list),
                     ERR_SYNTAX);
}

static void tokens_come_back_or_are_refused(void **state)
{
    (void)state;
    struct span key = SPAN_LITERAL("dir/\xe2\x82\xac\r\n"), back;
    struct span token = token_encode(key, arena);
    assert_non_null(token.ptr);
    assert_int_equal(token_decode(token, arena, &back), 0);
    assert_true(span_eq(back, key));
    assert_int_equal(token_decode(span_take(token, token.len - 4), arena, &back), ERR_SYNTAX);
    assert_int_equal(token_decode(SPAN_LITERAL(""), arena, &back), ERR_SYNTAX);
    assert_int_equal(token_decode(SPAN_LITERAL("ZGlyLw=="), arena, &back), ERR_SYNTAX);
    assert_int_equal(token_decode(SPAN_LITERAL("not base64!"), arena, &back), ERR_SYNTAX);
    uint8_t longest[1024];
    memset(longest, 0xff, sizeof(longest));
    token = token_encode(span_of(longest, sizeof(longest)), arena);
    assert_int_equal(token_decode(token, arena, &back), 0);
    assert_int_equal(back.len, sizeof(longest));
}

static void upload_ids_are_hex(void **state)
{
    (void)state;
    struct span id;
    char text[2 * UPLOAD_ID_SIZE + 1];
    assert_int_equal(upload_id_parse(SPAN_LITERAL("000102030405060708090a0B0c0d0e0f"), arena, &id), 0);
    assert_int_equal(id.len, UPLOAD_ID_SIZE);
    assert_int_equal(id.ptr[11], 11);
    struct span shown = upload_id_text((ProtobufCBinaryData){id.len, (uint8_t *)(uintptr_t)id.ptr}, text);
    assert_true(span_eq_str(shown, "000102030405060708090a0b0c0d0e0f"));
    assert_int_equal(upload_id_parse(SPAN_LITERAL("00"), arena, &id), ERR_NO_SUCH_UPLOAD);
    assert_int_equal(upload_id_parse(SPAN_NONE, arena, &id), ERR_NO_SUCH_UPLOAD);
    assert_int_equal(upload_id_parse(SPAN_LITERAL("zz0102030405060708090a0b0c0d0e0f"), arena, &id), ERR_NO_SUCH_UPLOAD);
}

static void aws_chunked_is_not_kept(void **state)
{
    (void)state;
    assert_string_equal(headers_content_encoding(SPAN_LITERAL("aws-chunked"), arena), "");
    assert_string_equal(headers_content_encoding(SPAN_LITERAL("aws-chunked,gzip"), arena), "gzip");
    assert_string_equal(headers_content_encoding(SPAN_LITERAL("gzip, AWS-Chunked"), arena), "gzip");
    assert_string_equal(headers_content_encoding(SPAN_LITERAL("gzip, br"), arena), "gzip,br");
}

static void checksums_have_the_size_of_their_kind(void **state)
{
    (void)state;
    uint8_t raw[DIGEST_MAX];
    assert_int_equal(checksums_parse(DIGEST_CRC32, SPAN_LITERAL("AAAAAQ=="), raw), 0);
    assert_int_equal(checksums_parse(DIGEST_CRC32, SPAN_LITERAL("AAAAAQ==-3"), raw), 0);
    assert_int_equal(checksums_parse(DIGEST_CRC64NVME, SPAN_LITERAL("AAAAAQ=="), raw), ERR_SYNTAX);
    assert_int_equal(checksums_parse(DIGEST_SHA256, SPAN_LITERAL(""), raw), ERR_SYNTAX);
    assert_int_equal(checksums_parse(DIGEST_CRC32, SPAN_LITERAL("AAAA"), raw), ERR_SYNTAX);
    assert_int_equal(checksums_by_element(SPAN_LITERAL("ChecksumCRC64NVME")), DIGEST_CRC64NVME);
    assert_int_equal(checksums_by_element(SPAN_LITERAL("ChecksumType")), DIGEST_NONE);
    assert_int_equal(checksums_by_header(SPAN_LITERAL("X-Amz-Checksum-Sha1")), DIGEST_SHA1);
    assert_int_equal(checksums_by_header(SPAN_LITERAL("x-amz-checksum-type")), DIGEST_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delete_lists),
        cmocka_unit_test(delete_lists_that_are_refused),
        cmocka_unit_test(part_lists),
        cmocka_unit_test(part_lists_that_are_refused),
        cmocka_unit_test(tokens_come_back_or_are_refused),
        cmocka_unit_test(upload_ids_are_hex),
        cmocka_unit_test(aws_chunked_is_not_kept),
        cmocka_unit_test(checksums_have_the_size_of_their_kind),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
