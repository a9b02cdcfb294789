/* What botocore signs is accepted, what was changed since is not, and each refusal has S3's reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "auth/auth.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "auth_kit.h"

static void is_accepted(struct vector *vector)
{
    static const char *const payloads[] = {"sha256", "unsigned", "chunked_signed", "chunked_signed_trailer",
                                           "chunked_unsigned_trailer"};
    struct auth_identity identity;

    /* Twice: the second time the signing key is remembered. */
    for (int i = 0; i < 2; i++) {
        int rc = verify(vector->head, vector->now, &identity);
        if (rc != 0)
            fail_msg("%s: %s", vector->name, err_text(rc));
        assert_non_null(identity.who);
        assert_string_equal(identity.who->access_key, ACCESS_KEY);
        assert_string_equal(identity.who->display_name, "test");
        assert_string_equal(payloads[identity.payload], vector->payload);
        assert_int_equal(identity.presigned, vector->presigned[0] == 'y');
        auth_release(&identity);
    }
}

static void what_botocore_signs_is_accepted(void **state)
{
    (void)state;
    each_vector("sigv4", is_accepted);
}

/* The bytes of the head that are signed: not the HTTP version, not the line ends, not unsigned headers. */
static bool is_signed(const struct vector *vector, const char *at)
{
    const char *line = at, *end = strchr(at, '\n');

    while (line > vector->head && line[-1] != '\n')
        line--;
    if (*at == '\n' || strncmp(line, "User-Agent", 10) == 0 || strncmp(line, "Accept-Encoding", 15) == 0)
        return false;
    if (line == vector->head)
        return at < end - strlen(" HTTP/1.1");
    /* Blanks around values, and runs of them, are not. */
    return *at != ' ' && *at != ':';
}

static void is_refused_when_changed(struct vector *vector)
{
    struct auth_identity identity;

    for (char *c = (char *)vector->head; *c != '\0'; c++) {
        char was = *c;
        if (!is_signed(vector, c))
            continue;
        *c = was == 'q' ? 'z' : 'q';
        /* Without its Authorization header it is nobody's. */
        if (verify(vector->head, vector->now, &identity) == 0) {
            if (identity.who != NULL)
                fail_msg("%s: accepted with a change at byte %zu", vector->name, (size_t)(c - vector->head));
            auth_release(&identity);
        }
        *c = was;
    }
    assert_int_equal(verdict(vector->head, vector->now), 0);
}

static void what_was_changed_since_is_refused(void **state)
{
    (void)state;
    each_vector("sigv4", is_refused_when_changed);
}

/* --- refusals --- */

static void header_refusals(void **state)
{
    static const struct {
        const char *from, *to;
        int rc;
    } rows[] = {
        {"AWS4-HMAC-SHA256 ", "AWS4-ECDSA-P256-SHA256 ", ERR_UNSUPPORTED},
        {"AWS4-HMAC-SHA256 Credential", "Basic Credential", ERR_UNSUPPORTED},
        {"AWS4-HMAC-SHA256 Credential", "AWS4-HMAC-SHA256Credential", ERR_UNSUPPORTED},
        {"Credential=", "Credentials=", ERR_AUTH_HEADER},
        {"Credential=", "Credential=a/20261124/us-east-1/s3/aws4_request, Credential=", ERR_AUTH_HEADER},
        {"Signature=", "Signature=0", ERR_AUTH_HEADER},
        {"Signature=", "Signature=,Signature=", ERR_AUTH_HEADER},
        {", Signature=", ", X=", ERR_AUTH_HEADER},
        {"/20261124/", "/2026112/", ERR_AUTH_HEADER},
        {"/20261124/", "/20261125/", ERR_AUTH_HEADER},
        {"/s3/", "/sts/", ERR_AUTH_HEADER},
        {"/aws4_request", "/aws5_request", ERR_AUTH_HEADER},
        {"/aws4_request", "/aws4_request/x", ERR_AUTH_HEADER},
        {"=" ACCESS_KEY "/", "=/", ERR_AUTH_HEADER},
        {"SignedHeaders=host;", "SignedHeaders=host;host;", ERR_AUTH_HEADER},
        {"SignedHeaders=host;", "SignedHeaders=host;;", ERR_AUTH_HEADER},
        {"User-Agent: ", "Authorization: AWS4-HMAC-SHA256 ", ERR_AUTH_HEADER},
        {"us-east-1", "eu-central-1", ERR_WRONG_REGION},
        {ACCESS_KEY, "ARCATESTACCESSKEY002", ERR_NO_SUCH_ACCESS_KEY},
        {"SignedHeaders=host;", "SignedHeaders=", ERR_DENIED},
        {"SignedHeaders=host;", "SignedHeaders=host;x-absent;", ERR_DENIED},
        {"User-Agent: Boto3", "x-amz-acl: public-read", ERR_DENIED},
        {"User-Agent: Boto3", "X-AMZ-Copy-Source: /b/k", ERR_DENIED},
        {"X-Amz-Date: 20261124T203043Z\n", "", ERR_DENIED},
        {"X-Amz-Date: 20261124T203043Z\n", "X-Amz-Date: yesterday\n", ERR_DENIED},
        {"X-Amz-Date: 20261124T203043Z\n", "X-Amz-Date: 20261124T203043Z\nX-Amz-Date: 20261124T203043Z\n", ERR_DENIED},
        {"X-Amz-Content-SHA256: e3b0", "X-Amz-Content-SHA256: E3B0", ERR_SIGNATURE},
        {"X-Amz-Content-SHA256: e3b0", "X-Amz-Content-SHA256: e3b", ERR_INVALID},
        {"X-Amz-Content-SHA256: e3b0", "X-Amz-Content-SHA256: x3b0", ERR_INVALID},
        {"X-Amz-Content-SHA256: e3b0", "X-Not: e3b0", ERR_INVALID},
        {"User-Agent: ", "x-amz-content-sha256: UNSIGNED-PAYLOAD\nUser-Agent: ", ERR_INVALID},
        {"GET /bucket/key", "GET /bucket/kez", ERR_SIGNATURE},
        {"GET /bucket/key", "PUT /bucket/key", ERR_SIGNATURE},
        {"GET /bucket/key", "GET /bucket//key", ERR_SIGNATURE},
        {"GET /bucket/key", "GET /bucket/key?acl", ERR_SIGNATURE},
        {"GET /bucket/key", "GET /bucket/key%", ERR_SYNTAX},
        {"GET /bucket/key", "GET /bucket/key?X-Amz-Signature=", ERR_INVALID},
        {"GET /bucket/key", "GET /bucket/key?%58-Amz-Algorithm=AWS4-HMAC-SHA256", ERR_INVALID},
        {"Host: 127.0.0.1", "Host: 127.0.0.2", ERR_SIGNATURE},
    };
    struct vector get;

    (void)state;
    load_one("sigv4", "get.txt", &get);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        int rc = verdict_edited(get.head, rows[i].from, rows[i].to);
        if (rc != rows[i].rc)
            fail_msg("'%s' -> '%s': %s", rows[i].from, rows[i].to, rc == 0 ? "accepted" : err_text(rc));
    }
    assert_int_equal(verdict(get.head, "20261124T204543Z"), 0);
    assert_int_equal(verdict(get.head, "20261124T204544Z"), ERR_SKEWED);
    assert_int_equal(verdict(get.head, "20261124T201543Z"), 0);
    assert_int_equal(verdict(get.head, "20261124T201542Z"), ERR_SKEWED);
}

static void query_refusals(void **state)
{
    static const struct {
        const char *from, *to;
        int rc;
    } rows[] = {
        {"X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256", ERR_UNSUPPORTED},
        {"X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=AWS4", ERR_AUTH_QUERY},
        {"X-Amz-Algorithm=AWS4-HMAC-SHA256", "AWSAccessKeyId=A&Signature=b&Expires=1", ERR_INVALID},
        {"X-Amz-Algorithm=AWS4-HMAC-SHA256&", "", ERR_AUTH_QUERY},
        {"&X-Amz-Signature=", "&X-Amz-Sig=", ERR_AUTH_QUERY},
        {"&X-Amz-Signature=", "&X-Amz-Signature=0", ERR_AUTH_QUERY},
        {"&X-Amz-Date=", "&X-Amz-Date=2", ERR_AUTH_QUERY},
        {"&X-Amz-Date=", "&X-Amz-D=", ERR_AUTH_QUERY},
        {"&X-Amz-Date=20261124", "&X-Amz-Date=20261123", ERR_AUTH_QUERY},
        {"&X-Amz-Expires=3600", "&X-Amz-Expires=0", ERR_AUTH_QUERY},
        {"&X-Amz-Expires=3600", "&X-Amz-Expires=604801", ERR_AUTH_QUERY},
        {"&X-Amz-Expires=3600", "&X-Amz-Expires=-1", ERR_AUTH_QUERY},
        {"&X-Amz-Expires=3600", "&X-Amz-Expires=99999999999999999999", ERR_AUTH_QUERY},
        {"&X-Amz-Expires=3600", "", ERR_AUTH_QUERY},
        {"&X-Amz-Expires=3600", "&X-Amz-Expires=3600&X-Amz-Expires=3600", ERR_AUTH_QUERY},
        {"&X-Amz-Expires=3600", "&X-Amz-Expires=3600&X-Amz-Expires", ERR_AUTH_QUERY},
        {"&X-Amz-Expires=3600", "&X-Amz-Expires=3600&X%2DAmz%2DExpires=3600", ERR_AUTH_QUERY},
        {"&X-Amz-Expires=3600", "&X-Amz-Expires=7200", ERR_SIGNATURE},
        {"&X-Amz-Expires=3600", "&X-Amz-Expires=3600&versionId=1", ERR_SIGNATURE},
        {"&X-Amz-SignedHeaders=host", "&X-Amz-SignedHeaders=", ERR_AUTH_QUERY},
        {"&X-Amz-SignedHeaders=host", "&X-Amz-SignedHeaders=x", ERR_DENIED},
        {"&X-Amz-SignedHeaders=host", "&X-Amz-SignedHeaders=host%3Bx", ERR_DENIED},
        {"us-east-1", "us-west-2", ERR_WRONG_REGION},
        {ACCESS_KEY, "ARCATESTACCESSKEY002", ERR_NO_SUCH_ACCESS_KEY},
        {"%2Fs3%2F", "%2Fiam%2F", ERR_AUTH_QUERY},
        {"User-Agent: Boto3", "Authorization: AWS4-HMAC-SHA256 Credential=a", ERR_INVALID},
        {"User-Agent: Boto3", "Authorization: Basic YTpi", ERR_INVALID},
        {"User-Agent: Boto3", "x-amz-acl: public-read", ERR_DENIED},
        {"User-Agent: Boto3", "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER", ERR_INVALID},
        {"User-Agent: Boto3/1.43", "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER", ERR_INVALID},
        {"User-Agent: Boto3/1.43", "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD", ERR_INVALID},
        {"&X-Amz-Expires", "&X-Amz-Content-Sha256=STREAMING-UNSIGNED-PAYLOAD-TRAILER&X-Amz-Expires", ERR_INVALID},
        {"&X-Amz-Expires", "&X-Amz-Content-Sha256=nonsense&X-Amz-Expires", ERR_INVALID},
    };
    struct vector get;

    (void)state;
    load_one("sigv4", "presigned_get.txt", &get);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        int rc = verdict_edited(get.head, rows[i].from, rows[i].to);
        if (rc != rows[i].rc)
            fail_msg("'%s' -> '%s': %s", rows[i].from, rows[i].to, rc == 0 ? "accepted" : err_text(rc));
    }
    assert_int_equal(verdict(get.head, "20261124T213043Z"), 0);
    assert_int_equal(verdict(get.head, "20261124T213044Z"), ERR_EXPIRED);
    assert_int_equal(verdict(get.head, "20261124T201543Z"), 0);
    assert_int_equal(verdict(get.head, "20261124T201542Z"), ERR_SKEWED);
}

static void spelling_that_does_not_matter(void **state)
{
    struct vector get;
    struct vector unsorted;

    (void)state;
    load_one("sigv4", "get.txt", &get);
    load_one("sigv4", "query_unsorted.txt", &unsorted);
    assert_int_equal(verdict_edited(get.head, ", SignedHeaders", ",SignedHeaders"), 0);
    assert_int_equal(verdict_edited(get.head, "\nX-Amz-Date: ", "\nx-amz-DATE:    "), 0);
    assert_int_equal(verdict_edited(get.head, "/bucket/key", "/buc%6Bet/key"), 0);
    assert_int_equal(verdict_edited(get.head, "User-Agent: Boto3", "User-Agent: other"), 0);
    assert_int_equal(verdict_edited(unsorted.head, "b=2&a=2&a=1", "a=1&b=2&a=2"), 0);
    assert_int_equal(verdict_edited(unsorted.head, "&empty=", "&empty"), 0);
}

static void nobody(void **state)
{
    struct auth_identity identity;

    (void)state;
    assert_int_equal(verify("GET /bucket/key?list-type=2&X-Amz-Date=1 HTTP/1.1\nHost: a\n\n", NOW, &identity), 0);
    assert_null(identity.who);
    assert_int_equal(identity.payload, AUTH_PAYLOAD_UNSIGNED);
    auth_release(&identity);
    assert_int_equal(verdict("PUT /b/k HTTP/1.1\nHost: a\n"
                             "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\n\n",
                             NOW),
                     ERR_INVALID);
    assert_int_equal(verdict("GET /b/k?X-Amz-Signature HTTP/1.1\nHost: a\n\n", NOW), ERR_AUTH_QUERY);
    assert_int_equal(verdict("GET /b/k?a=%4 HTTP/1.1\nHost: a\n\n", NOW), 0);
    assert_int_equal(verdict("GET /b/k?%4=a HTTP/1.1\nHost: a\n\n", NOW), ERR_SYNTAX);
}

/* --- AWS's own examples: docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and
 * sigv4-streaming.html, sigv4-streaming-trailers.html --- */

#define DOCUMENTATION_NOW   "20130524T000000Z"
#define DOCUMENTATION_SCOPE "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
#define EMPTY               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const char *const documented[] = {
    "GET /test.txt HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\n"
    "Authorization: AWS4-HMAC-SHA256 " DOCUMENTATION_SCOPE "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
    "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41\n"
    "Range: bytes=0-9\nx-amz-content-sha256: " EMPTY "\nx-amz-date: " DOCUMENTATION_NOW "\n\n",
    "PUT /test$file.text HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\nDate: Fri, 24 May 2013 00:00:00 GMT\n"
    "Authorization: AWS4-HMAC-SHA256 " DOCUMENTATION_SCOPE
    "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,"
    "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd\n"
    "x-amz-date: " DOCUMENTATION_NOW "\nx-amz-storage-class: REDUCED_REDUNDANCY\n"
    "x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\n\n",
    "GET /?lifecycle HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\n"
    "Authorization: AWS4-HMAC-SHA256 " DOCUMENTATION_SCOPE "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
    "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543\n"
    "x-amz-date: " DOCUMENTATION_NOW "\nx-amz-content-sha256: " EMPTY "\n\n",
    "GET /?max-keys=2&prefix=J HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\n"
    "Authorization: AWS4-HMAC-SHA256 " DOCUMENTATION_SCOPE "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
    "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7\n"
    "x-amz-date: " DOCUMENTATION_NOW "\nx-amz-content-sha256: " EMPTY "\n\n",
    "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2F"
    "s3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1\n"
    "Host: examplebucket.s3.amazonaws.com\n\n",
};

static void what_aws_documents_is_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(documented) / sizeof(*documented); i++) {
        int rc = verdict(documented[i], DOCUMENTATION_NOW);
        if (rc != 0)
            fail_msg("example %zu: %s", i, err_text(rc));
    }
}

/* Date instead of x-amz-date: what is signed is the same time. The signature is that of the example without its date
 * headers, so it cannot match; that the time was found is what the different errors tell. */
static void date_takes_the_place_of_amz_date(void **state)
{
    char *head = edited(documented[0], "x-amz-date: " DOCUMENTATION_NOW, "Date: Fri, 24 May 2013 00:00:00 GMT");
    char *both = edited(head, ";x-amz-date", "");

    (void)state;
    assert_int_equal(verdict(both, DOCUMENTATION_NOW), ERR_SIGNATURE);
    assert_int_equal(verdict(both, "20130524T010000Z"), ERR_SKEWED);
    assert_int_equal(verdict_edited(both, "Fri, 24 May", "Fry, 99 May"), ERR_DENIED);
    free(head);
    free(both);
}

static const char streaming[] =
    "PUT /examplebucket/chunkObject.txt HTTP/1.1\nHost: s3.amazonaws.com\nx-amz-date: " DOCUMENTATION_NOW "\n"
    "x-amz-storage-class: REDUCED_REDUNDANCY\nContent-Encoding: aws-chunked\n"
    "Authorization: AWS4-HMAC-SHA256 " DOCUMENTATION_SCOPE
    "SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;"
    "x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9\n"
    "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\nx-amz-decoded-content-length: 66560\n"
    "Content-Length: 66824\n\n";
static const char streaming_trailer[] =
    "PUT /examplebucket/chunkObject.txt HTTP/1.1\nHost: s3.amazonaws.com\nx-amz-date: " DOCUMENTATION_NOW "\n"
    "x-amz-storage-class: REDUCED_REDUNDANCY\nContent-Encoding: aws-chunked\n"
    "Authorization: AWS4-HMAC-SHA256 " DOCUMENTATION_SCOPE
    "SignedHeaders=content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;"
    "x-amz-storage-class;x-amz-trailer,"
    "Signature=106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e\n"
    "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER\nx-amz-decoded-content-length: 66560\n"
    "x-amz-trailer: x-amz-checksum-crc32c\nContent-Length: 66946\n\n";

/* SHA-256 of 65,536 and of 1,024 bytes 'a', and of nothing. */
static const char *const chunk_hashes[] = {"bf718b6f653bebc184e1479f1935b8da974d701b893afcf49e701f3e2f9f9c5a",
                                           "2edc986847e209b4016e141a6dc8716d3207350f416969382d431539bf292e4a", EMPTY};

static void check_chunks(const char *head, enum auth_payload payload, const char *const signatures[3], bool trailer)
{
    struct auth_identity identity;
    uint8_t sha256[32];
    int rc = verify(head, DOCUMENTATION_NOW, &identity);

    if (rc != 0)
        fail_msg("%s", err_text(rc));
    assert_int_equal(identity.payload, payload);
    struct aws_chunk_verifier *verifier = auth_chunk_verifier(&identity, arena);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(text_unhex(span_str(chunk_hashes[i]), sha256, 32), 0);
        assert_int_equal(verifier->chunk(verifier, sha256, span_str(signatures[i])), 0);
    }
    if (trailer)
        assert_int_equal(
            verifier->trailer(verifier, SPAN_LITERAL("x-amz-checksum-crc32c:sOO8/Q==\n"),
                              SPAN_LITERAL("d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435")),
            0);
    assert_int_equal(verifier->chunk(verifier, sha256, span_str(signatures[2])), ERR_SIGNATURE);
    auth_release(&identity);
    assert_int_equal(identity.chain.key[0] | identity.chain.key[31], 0);
}

static void chunks_follow_the_chain(void **state)
{
    static const char *const plain[] = {"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                                        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                                        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"};
    static const char *const trailed[] = {"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
                                          "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
                                          "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"};

    (void)state;
    check_chunks(streaming, AUTH_PAYLOAD_CHUNKED_SIGNED, plain, false);
    check_chunks(streaming_trailer, AUTH_PAYLOAD_CHUNKED_SIGNED_TRAILER, trailed, true);
}

static void unsigned_chunks_have_no_verifier(void **state)
{
    struct vector put;
    struct auth_identity identity;

    (void)state;
    load_one("sigv4", "put_trailer.txt", &put);
    assert_int_equal(verify(put.head, NOW, &identity), 0);
    struct aws_chunk_verifier *verifier = auth_chunk_verifier(&identity, arena);
    assert_non_null(verifier);
    assert_null(verifier->chunk);
    assert_null(verifier->trailer);
    auth_release(&identity);
}

/* --- reload --- */

static void a_reload_takes_effect_and_spares_requests_under_way(void **state)
{
    struct vector get;
    struct auth_identity before;
    char why[256], *changed = edited(credentials, "wJalrXUtnFEMI/K7MDENG+", "xJalrXUtnFEMI/K7MDENG+");

    (void)state;
    load_one("sigv4", "get.txt", &get);
    assert_int_equal(verify(get.head, NOW, &before), 0);
    write_credentials("- nonsense");
    assert_int_equal(auth_reload(auth, why, sizeof(why)), ERR_INVALID);
    assert_int_equal(verdict(get.head, NOW), 0);
    write_credentials(changed);
    assert_int_equal(auth_reload(auth, why, sizeof(why)), 0);
    assert_int_equal(verdict(get.head, NOW), ERR_SIGNATURE);
    assert_string_equal(before.who->access_key, ACCESS_KEY);
    auth_release(&before);
    write_credentials(credentials);
    assert_int_equal(auth_reload(auth, why, sizeof(why)), 0);
    assert_int_equal(verdict(get.head, NOW), 0);
    free(changed);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_botocore_signs_is_accepted),
        cmocka_unit_test(what_was_changed_since_is_refused),
        cmocka_unit_test(header_refusals),
        cmocka_unit_test(query_refusals),
        cmocka_unit_test(spelling_that_does_not_matter),
        cmocka_unit_test(nobody),
        cmocka_unit_test(what_aws_documents_is_accepted),
        cmocka_unit_test(date_takes_the_place_of_amz_date),
        cmocka_unit_test(chunks_follow_the_chain),
        cmocka_unit_test(unsigned_chunks_have_no_verifier),
        cmocka_unit_test(a_reload_takes_effect_and_spares_requests_under_way),
    };

    return cmocka_run_group_tests(tests, make_auth, free_auth);
}
