/* Signature Version 2: what botocore signs and what AWS documents is accepted, and nothing that was changed since. */
#include "auth_kit.h"
#include "crypto/sign_v2.h"

static int vector_verdict(const struct vector *vector, struct auth_identity *out)
{
    return verify_virtual(vector->head, vector->bucket[0] != '\0' ? vector->bucket : NULL, vector->now, out);
}

static void is_accepted(struct vector *vector)
{
    struct auth_identity identity;
    int rc = vector_verdict(vector, &identity);

    if (rc != 0)
        fail_msg("%s: %s", vector->name, err_text(rc));
    assert_string_equal(identity.who->access_key, ACCESS_KEY);
    assert_int_equal(identity.presigned, vector->presigned[0] == 'y');
    assert_int_equal(identity.payload,
                     strcmp(vector->payload, "sha256") == 0 ? AUTH_PAYLOAD_SHA256 : AUTH_PAYLOAD_UNSIGNED);
    auth_release(&identity);
}

static void what_botocore_signs_is_accepted(void **state)
{
    (void)state;
    each_vector("sigv2", is_accepted);
}

/* Of the query: parameters that are covered, and those of the claim. */
static bool is_signed_parameter(const char *line, const char *at)
{
    const char *name = at;

    while (name > line && name[-1] != '&' && name[-1] != '?')
        name--;
    struct span text = span_of(name, strcspn(name, "=& "));
    return *at != '&' && (sign_v2_covers(text) || span_eq_str(text, "AWSAccessKeyId") ||
                          span_eq_str(text, "Signature") || span_eq_str(text, "Expires"));
}

static bool is_signed(const struct vector *vector, const char *at)
{
    static const char *const headers[] = {"Date", "Authorization", "Content-Type", "Content-MD5", "x-amz-", "X-Amz-"};
    const char *line = at, *query;

    while (line > vector->head && line[-1] != '\n')
        line--;
    if (*at == '\n' || *at == ' ' || *at == ':')
        return false;
    query = memchr(line, '?', (size_t)(at - line));
    if (line == vector->head)
        return at < strchr(line, '\n') - strlen(" HTTP/1.1") && (query == NULL || is_signed_parameter(line, at));
    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
        if (strncmp(line, headers[i], strlen(headers[i])) == 0)
            return true;
    }
    return false;
}

static void is_refused_when_changed(struct vector *vector)
{
    struct auth_identity identity;
    size_t changes = 0;

    for (char *c = (char *)vector->head; *c != '\0'; c++) {
        char was = *c;
        if (!is_signed(vector, c))
            continue;
        *c = was == 'q' ? 'z' : 'q';
        /* Without its Authorization header it is nobody's. */
        if (vector_verdict(vector, &identity) == 0) {
            if (identity.who != NULL)
                fail_msg("%s: accepted with a change at byte %zu", vector->name, (size_t)(c - vector->head));
            auth_release(&identity);
        }
        *c = was;
        changes++;
    }
    assert_true(changes > 60);
    is_accepted(vector);
}

static void what_was_changed_since_is_refused(void **state)
{
    (void)state;
    each_vector("sigv2", is_refused_when_changed);
}

/* --- refusals --- */

struct row {
    const char *from, *to;
    int rc;
};

static void check_rows(const char *head, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int rc = verdict_edited(head, rows[i].from, rows[i].to);
        if (rc != rows[i].rc)
            fail_msg("'%s' -> '%s': %s", rows[i].from, rows[i].to, rc == 0 ? "accepted" : err_text(rc));
    }
}

static void header_refusals(void **state)
{
    static const struct row rows[] = {
        {"Authorization: AWS ", "Authorization: AWS2 ", ERR_UNSUPPORTED},
        {"Authorization: AWS ", "Authorization: AWS", ERR_UNSUPPORTED},
        {"Authorization: AWS ", "Authorization: AWS  ", ERR_NO_SUCH_ACCESS_KEY},
        {"AWS " ACCESS_KEY ":", "AWS " ACCESS_KEY, ERR_AUTH_HEADER},
        {"AWS " ACCESS_KEY ":", "AWS :", ERR_AUTH_HEADER},
        {"AWS " ACCESS_KEY ":", "AWS " ACCESS_KEY "::", ERR_SIGNATURE},
        {ACCESS_KEY, "ARCATESTACCESSKEY002", ERR_NO_SUCH_ACCESS_KEY},
        {ACCESS_KEY, "AKIAIOSFODNN7EXAMPLE", ERR_SIGNATURE},
        {"User-Agent: ", "Authorization: AWS ", ERR_AUTH_HEADER},
        {"Date: Tue, 24 Nov 2026 20:30:43 GMT\n", "", ERR_DENIED},
        {"Date: Tue, 24", "Date: Tue, 99", ERR_DENIED},
        {"Date: Tue, ", "Date: 1795552243, ", ERR_DENIED},
        {"20:30:43 GMT", "20:30:43 -0700", ERR_DENIED},
        {"20:30:43 GMT", "20:30:43 +0000", ERR_SIGNATURE},
        {"20:30:43 GMT", "20:30:44 GMT", ERR_SIGNATURE},
        {"Date: ", "Date: Tue, 24 Nov 2026 20:30:43 GMT\nDate: ", ERR_DENIED},
        {"User-Agent: ", "x-amz-date: Tue, 24 Nov 2026 20:30:43 GMT\nUser-Agent: ", ERR_SIGNATURE},
        {"User-Agent: ", "x-amz-date: 20261124T203043Z\nX-Amz-Date: 20261124T203043Z\nUser-Agent: ", ERR_DENIED},
        {"User-Agent: ", "x-amz-date: Tue, 24 Nov 2026 23:30:43 GMT\nUser-Agent: ", ERR_SKEWED},
        {"User-Agent: ", "x-amz-acl: public-read\nUser-Agent: ", ERR_SIGNATURE},
        {"User-Agent: ", "X-AMZ-Copy-Source: /b/k\nUser-Agent: ", ERR_SIGNATURE},
        {"User-Agent: ", "Content-Type: text/html\nUser-Agent: ", ERR_SIGNATURE},
        {"User-Agent: ", "Content-Type:\nContent-Type: text/html\nUser-Agent: ", ERR_INVALID},
        {"User-Agent: ", "Content-MD5:\nContent-MD5: a\nUser-Agent: ", ERR_INVALID},
        {"User-Agent: ", "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\nUser-Agent: ", ERR_INVALID},
        {"User-Agent: ", "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\nUser-Agent: ", ERR_INVALID},
        {"User-Agent: ", "x-amz-content-sha256: nonsense\nUser-Agent: ", ERR_INVALID},
        {"User-Agent: ", "x-amz-content-sha256: UNSIGNED-PAYLOAD\nUser-Agent: ", ERR_SIGNATURE},
        {"GET /", "PUT /", ERR_SIGNATURE},
        {"/bucket/key", "/bucket//key", ERR_SIGNATURE},
        {"/bucket/key", "/bucket/ke%79", ERR_SIGNATURE},
        {"/bucket/key", "/bucket/key?acl", ERR_SIGNATURE},
        {"/bucket/key", "/bucket/key?%61cl", ERR_SIGNATURE},
        {"/bucket/key", "/bucket/key?response-content-type=text/html", ERR_SIGNATURE},
        {"/bucket/key", "/bucket/key?acl=%", ERR_SYNTAX},
        {"/bucket/key", "/bucket/key?acl&acl", ERR_INVALID},
        {"/bucket/key", "/bucket/key?AWSAccessKeyId=" ACCESS_KEY, ERR_INVALID},
        {"/bucket/key", "/bucket/key?Signature=a", ERR_INVALID},
        {"/bucket/key", "/bucket/key?X-Amz-Signature=", ERR_INVALID},
        /* What V2 leaves free. */
        {"/bucket/key", "/bucket/key?x-id=GetObject&Expires=1", 0},
        {"Host: 127.0.0.1", "Host: 127.0.0.2", 0},
        {"Accept-Encoding: identity", "Accept-Encoding: gzip", 0},
    };
    struct vector get;

    (void)state;
    load_one("sigv2", "get.txt", &get);
    check_rows(get.head, rows, sizeof(rows) / sizeof(*rows));
    assert_int_equal(verdict(get.head, "20261124T204543Z"), 0);
    assert_int_equal(verdict(get.head, "20261124T204544Z"), ERR_SKEWED);
    assert_int_equal(verdict(get.head, "20261124T201543Z"), 0);
    assert_int_equal(verdict(get.head, "20261124T201542Z"), ERR_SKEWED);
}

static void query_refusals(void **state)
{
    static const struct row rows[] = {
        {"&Expires=1795555843", "", ERR_DENIED},
        {"&Expires=1795555843", "&Expires=", ERR_DENIED},
        {"&Expires=1795555843", "&Expires=-1", ERR_DENIED},
        {"&Expires=1795555843", "&Expires=tomorrow", ERR_DENIED},
        {"&Expires=1795555843", "&Expires=99999999999999999999", ERR_DENIED},
        {"&Expires=1795555843", "&Expires=18446744073709551615", ERR_SIGNATURE},
        {"&Expires=1795555843", "&Expires=01795555843", ERR_SIGNATURE},
        {"&Expires=1795555843", "&Expires=1795552242", ERR_EXPIRED},
        {"&Expires=1795555843", "&Expires=1795555843&Expires=1795555843", ERR_AUTH_QUERY},
        {"&Expires=1795555843", "&Expires=1795555843&%45xpires=1", ERR_AUTH_QUERY},
        {"&Signature=", "&Signature=a&Signature=", ERR_AUTH_QUERY},
        {"&Signature=", "&Sig=", ERR_DENIED},
        {"&Signature=", "&Signature=&Sig=", ERR_DENIED},
        {"&Signature=", "&Signature=A", ERR_SIGNATURE},
        {"AWSAccessKeyId=" ACCESS_KEY "&", "", ERR_DENIED},
        {"AWSAccessKeyId=" ACCESS_KEY, "AWSAccessKeyId=", ERR_DENIED},
        {"AWSAccessKeyId=", "AWSAccessKeyId=A&AWSAccessKeyId=", ERR_AUTH_QUERY},
        {ACCESS_KEY, "ARCATESTACCESSKEY002", ERR_NO_SUCH_ACCESS_KEY},
        {"?", "?X-Amz-Algorithm=AWS4-HMAC-SHA256&", ERR_INVALID},
        {"?", "?X-Amz-Expires=1&", ERR_INVALID},
        {"?", "?versionId=null&", ERR_SIGNATURE},
        {"?", "?uploadId=1&", ERR_SIGNATURE},
        {"?", "?response-content-type=text/html&", ERR_SIGNATURE},
        {"User-Agent: ", "Authorization: AWS4-HMAC-SHA256 Credential=a\nUser-Agent: ", ERR_INVALID},
        {"User-Agent: ", "Authorization: AWS a:b\nUser-Agent: ", ERR_INVALID},
        {"User-Agent: ", "Content-Type: text/html\nUser-Agent: ", ERR_SIGNATURE},
        {"User-Agent: ", "x-amz-meta-a: b\nUser-Agent: ", ERR_SIGNATURE},
        {"User-Agent: ", "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\nUser-Agent: ", ERR_INVALID},
        {"User-Agent: ", "x-amz-content-sha256: UNSIGNED-PAYLOAD\nUser-Agent: ", ERR_SIGNATURE},
        /* What V2 leaves free, and what is not heard: a digest in the query is SigV4's. */
        {"User-Agent: ", "Date: yesterday\nUser-Agent: ", 0},
        {"?", "?X-Amz-Content-Sha256=STREAMING-UNSIGNED-PAYLOAD-TRAILER&prefix=a&", 0},
    };
    struct vector get, put;

    (void)state;
    load_one("sigv2", "presigned_get.txt", &get);
    load_one("sigv2", "presigned_put.txt", &put);
    check_rows(get.head, rows, sizeof(rows) / sizeof(*rows));
    assert_int_equal(verdict(get.head, "20261124T213043Z"), 0);
    assert_int_equal(verdict(get.head, "20261124T213044Z"), ERR_EXPIRED);
    assert_int_equal(verdict(get.head, "19700101T000000Z"), 0);
    /* botocore repeats the signed headers in the query: it is the headers that count. */
    assert_int_equal(verdict_edited(put.head, "x-amz-meta-a: b\n", ""), ERR_SIGNATURE);
    assert_int_equal(verdict_edited(put.head, "Content-Type: text/plain\n", ""), ERR_SIGNATURE);
}

/* Values are signed decoded: one text must not stand for two requests. */
static void parameters_do_not_hide_in_values(void **state)
{
    static const struct row rows[] = {
        {"partNumber=1&uploadId=", "partNumber=1%26uploadId=", ERR_INVALID},
        {"partNumber=1&uploadId=", "partNumber=1%26uploadId%3D", ERR_INVALID},
        {"partNumber=1&uploadId=", "partNumber=1%26%26uploadId%3D", ERR_INVALID},
        {"partNumber=1&uploadId=", "partNumber=1%26acl&uploadId=", ERR_INVALID},
        {"partNumber=1&uploadId=", "partNumber%3D1%26uploadId=", ERR_SIGNATURE},
        {"partNumber=1&uploadId=", "uploadId=1&partNumber=1&uploadId=", ERR_INVALID},
        {"partNumber=1&", "", ERR_SIGNATURE},
        /* The order and the spelling do not matter. */
        {"partNumber=1&uploadId=0123456789abcdef", "&uploadId=0123456789abcde%66&part%4eumber=1", 0},
    };
    struct vector part, response, acl;

    (void)state;
    load_one("sigv2", "presigned_part.txt", &part);
    check_rows(part.head, rows, sizeof(rows) / sizeof(*rows));
    load_one("sigv2", "presigned_response.txt", &response);
    assert_int_equal(verdict_edited(response.head, "%26c", "%2Bc"), ERR_SIGNATURE);
    assert_int_equal(verdict_edited(response.head, "a%2Bb", "a+b"), ERR_SIGNATURE); /* that is a space */
    assert_int_equal(verdict_edited(response.head, "%20filename", "+filename"), 0);
    load_one("sigv2", "presigned_acl.txt", &acl);
    assert_int_equal(verdict_edited(acl.head, "?acl&", "?acl=&"), 0);
    assert_int_equal(verdict_edited(acl.head, "?acl&", "?acl=1&"), ERR_SIGNATURE);
}

static void the_bucket_of_the_host_is_signed(void **state)
{
    struct vector virtual_get;
    struct auth_identity identity;

    (void)state;
    load_one("sigv2", "virtual_get.txt", &virtual_get);
    assert_int_equal(verify_virtual(virtual_get.head, "other", NOW, &identity), ERR_SIGNATURE);
    assert_int_equal(verify_virtual(virtual_get.head, NULL, NOW, &identity), ERR_SIGNATURE);
    /* The same object, asked for in the other style. */
    assert_int_equal(verdict_edited(virtual_get.head, "GET /a/key", "GET /bucket/a/key"), 0);
}

/* botocore signs "/bucket/" for "/bucket"; others what they send. */
static void a_slash_behind_the_bucket_does_not_matter(void **state)
{
    struct vector list;
    struct auth_identity identity;

    (void)state;
    load_one("sigv2", "list.txt", &list);
    assert_int_equal(verdict_edited(list.head, "/bucket?", "/bucket/?"), 0);
    assert_int_equal(verdict_edited(list.head, "/bucket?", "/bucket//?"), ERR_SIGNATURE);
    assert_int_equal(verdict_edited(list.head, "/bucket?", "/buckets?"), ERR_SIGNATURE);
    assert_int_equal(verdict_edited(list.head, "/bucket?", "/?"), ERR_SIGNATURE);
    /* Signed as it is sent: HMAC-SHA1 of "GET\n\n\nTue, 24 Nov 2026 20:30:43 GMT\n/bucket". */
    assert_int_equal(verify("GET /bucket HTTP/1.1\nHost: a\nDate: Tue, 24 Nov 2026 20:30:43 GMT\n"
                            "Authorization: AWS " ACCESS_KEY ":7QJ/LKAjS4ZRgla6S5OKPMuH9mk=\n\n",
                            NOW, &identity),
                     0);
    auth_release(&identity);
    /* Within a bucket it is another key: what is signed here is "/bucket/key/". */
    static const char key[] = "GET /key%s HTTP/1.1\nHost: a\nDate: Tue, 24 Nov 2026 20:30:43 GMT\n"
                              "Authorization: AWS " ACCESS_KEY ":F+7a0g1xC7v6+sQZPFV4DPHT1bs=\n\n";
    char *slashed = edited(key, "%s", "/"), *bare = edited(key, "%s", "");
    assert_int_equal(verify_virtual(slashed, "bucket", NOW, &identity), 0);
    auth_release(&identity);
    assert_int_equal(verify_virtual(bare, "bucket", NOW, &identity), ERR_SIGNATURE);
    free(slashed);
    free(bare);
}

/* --- AWS's own examples: docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html --- */

#define DOCUMENTED(signature) "Authorization: AWS AKIAIOSFODNN7EXAMPLE:" signature "\n\n"

static const struct {
    const char *now, *bucket, *head;
} documented[] = {
    {"20070327T193642Z", "awsexamplebucket1",
     "GET /photos/puppy.jpg HTTP/1.1\nHost: awsexamplebucket1.us-west-1.s3.amazonaws.com\n"
     "Date: Tue, 27 Mar 2007 19:36:42 +0000\n" DOCUMENTED("qgk2+6Sv9/oM7G3qLEjTH1a1l1g=")},
    {"20070327T211545Z", "awsexamplebucket1",
     "PUT /photos/puppy.jpg HTTP/1.1\nHost: awsexamplebucket1.s3.us-west-1.amazonaws.com\nContent-Type: image/jpeg\n"
     "Content-Length: 94328\nDate: Tue, 27 Mar 2007 21:15:45 +0000\n" DOCUMENTED("iqRzw+ileNPu1fhspnRs8nOjjIA=")},
    {"20070327T194241Z", "awsexamplebucket1",
     "GET /?prefix=photos&max-keys=50&marker=puppy HTTP/1.1\nHost: awsexamplebucket1.s3.us-west-1.amazonaws.com\n"
     "User-Agent: Mozilla/5.0\nDate: Tue, 27 Mar 2007 19:42:41 +0000\n" DOCUMENTED("m0WP8eCtspQl5Ahe6L1SozdX9YA=")},
    {"20070327T194446Z", "awsexamplebucket1",
     "GET /?acl HTTP/1.1\nHost: awsexamplebucket1.s3.us-west-1.amazonaws.com\n"
     "Date: Tue, 27 Mar 2007 19:44:46 +0000\n" DOCUMENTED("82ZHiFIjc+WbcwFKGUVEQspPn+0=")},
    /* As the page had it first, and as its rule and all clients have it still: Date is left out of what is signed. */
    {"20070327T212026Z", NULL,
     "DELETE /johnsmith/photos/puppy.jpg HTTP/1.1\nUser-Agent: dotnet\nHost: s3.amazonaws.com\n"
     "Date: Tue, 27 Mar 2007 21:20:27 +0000\n"
     "x-amz-date: Tue, 27 Mar 2007 21:20:26 +0000\n" DOCUMENTED("R4dJ53KECjStyBO5iTBJZ4XVOaI=")},
    {"20070327T210608Z", "static.example.com",
     "PUT /db-backup.dat.gz HTTP/1.1\nUser-Agent: curl/7.15.5\nHost: static.example.com:8080\n"
     "Date: Tue, 27 Mar 2007 21:06:08 +0000\nx-amz-acl: public-read\ncontent-type: application/x-download\n"
     "Content-MD5: 4gJE4saaMU4BqNR0kLY+lw==\nX-Amz-Meta-ReviewedBy: joe@example.com\n"
     "X-Amz-Meta-ReviewedBy: jane@example.com\nX-Amz-Meta-FileChecksum: 0x02661779\n"
     "X-Amz-Meta-ChecksumAlgorithm: crc32\nContent-Disposition: attachment; filename=database.dat\n"
     "Content-Encoding: gzip\nContent-Length: 5913339\n" DOCUMENTED("jtBQa0Aq+DkULFI8qrpwIjGEx0E=")},
    {"20070328T012959Z", NULL,
     "GET / HTTP/1.1\nHost: s3.us-west-1.amazonaws.com\n"
     "Date: Wed, 28 Mar 2007 01:29:59 +0000\n" DOCUMENTED("qGdzdERIC03wnaRNKh6OqZehG9s=")},
    {"20070328T014949Z", NULL,
     "GET /dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re HTTP/1.1\nHost: s3.us-west-1.amazonaws.com\n"
     "Date: Wed, 28 Mar 2007 01:49:49 +0000\n" DOCUMENTED("DNEZGsoieTZ92F3bUfSPQcbGmlM=")},
    {"20070328T033000Z", "johnsmith",
     "GET /photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&"
     "Expires=1175139620 HTTP/1.1\nHost: johnsmith.s3.amazonaws.com\n\n"},
};

static void what_aws_documents_is_accepted(void **state)
{
    struct auth_identity identity;

    (void)state;
    for (size_t i = 0; i < sizeof(documented) / sizeof(*documented); i++) {
        int rc = verify_virtual(documented[i].head, documented[i].bucket, documented[i].now, &identity);
        if (rc != 0)
            fail_msg("example %zu: %s", i, err_text(rc));
        assert_string_equal(identity.who->access_key, "AKIAIOSFODNN7EXAMPLE");
        auth_release(&identity);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_botocore_signs_is_accepted),
        cmocka_unit_test(what_was_changed_since_is_refused),
        cmocka_unit_test(header_refusals),
        cmocka_unit_test(query_refusals),
        cmocka_unit_test(parameters_do_not_hide_in_values),
        cmocka_unit_test(the_bucket_of_the_host_is_signed),
        cmocka_unit_test(a_slash_behind_the_bucket_does_not_matter),
        cmocka_unit_test(what_aws_documents_is_accepted),
    };

    return cmocka_run_group_tests(tests, make_auth, free_auth);
}
