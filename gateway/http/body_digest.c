#include "http/body_digest.h"

#include <openssl/crypto.h>
#include "base/err.h"
#include "base/iov.h"
#include "base/list.h"
#include "http/md5_queue.h"

/* What is read and digested at once: much enough that bodies meet at the MD5, and still in the cache. */
#define RUN        ((size_t)1 << 20)
#define RUN_PIECES 16

struct body_digest {
    struct source source;
    struct source *inner;
    struct body_expectation expectation;
    struct md5_state md5_state;
    struct digest *sha256;   /* NULL: not asked */
    struct digest *checksum; /* NULL: not asked, or the same as sha256 */
    uint64_t passed;
    bool ended;
    bool entered;            /* the queue of MD5 */
    int rc; /* sticky */
    uint8_t md5[16];
    uint8_t checksum_value[DIGEST_MAX];
};

static int verify_checksum(struct body_digest *body)
{
    const struct body_expectation *expectation = &body->expectation;
    uint8_t late[DIGEST_MAX];
    struct span wanted = expectation->checksum_value;
    if (expectation->checksum_late != NULL) {
        size_t length = 0;
        int rc = expectation->checksum_late(expectation->late_arg, late, &length);
        if (rc != 0)
            return rc;
        wanted = span_of(late, length);
    }
    if (wanted.ptr == NULL)
        return 0;
    return span_eq(wanted, body_digest_checksum(body)) ? 0 : ERR_BAD_CHECKSUM;
}

static int verify(struct body_digest *body)
{
    const struct body_expectation *expectation = &body->expectation;
    uint8_t sha256[DIGEST_MAX] = {0};
    body->ended = true;
    md5_final(&body->md5_state, body->md5);
    if (body->sha256 != NULL)
        digest_final(body->sha256, sha256);
    if (body->checksum != NULL)
        digest_final(body->checksum, body->checksum_value);
    else if (expectation->checksum == DIGEST_SHA256)
        memcpy(body->checksum_value, sha256, sizeof(sha256));
    if (expectation->md5_given && memcmp(expectation->md5, body->md5, sizeof(body->md5)) != 0)
        return ERR_BAD_DIGEST;
    /* The signature covers this one. */
    if (expectation->sha256_given && CRYPTO_memcmp(expectation->sha256, sha256, sizeof(sha256)) != 0)
        return ERR_BAD_SHA256;
    return expectation->checksum != DIGEST_NONE ? verify_checksum(body) : 0;
}

static int digest_run(struct body_digest *body, struct iovec *pieces, int count)
{
    for (int i = 0; i < count; i++) {
        struct span piece = span_of(pieces[i].iov_base, pieces[i].iov_len);
        if (body->sha256 != NULL)
            digest_update(body->sha256, piece);
        if (body->checksum != NULL)
            digest_update(body->checksum, piece);
        body->passed += piece.len;
    }
    return md5_queue_update(&body->md5_state, pieces, count);
}

/* All bytes that were announced have passed: sees to it that there are no more. Who reads exactly the length, and no
 * further, thus learns of a wrong digest with the last bytes. */
static int look_for_end(struct body_digest *body)
{
    uint8_t byte;
    size_t got;
    int rc = source_read(body->inner, &byte, 1, &got);
    if (rc != 0)
        return rc;
    return got == 0 ? verify(body) : ERR_SYNTAX;
}

/* Off the array, what makes up a run. Returns how many pieces it has. */
static int cut_run(struct iovec **iov, int *count, struct iovec run[RUN_PIECES], size_t *bytes)
{
    int n = 0;
    *bytes = 0;
    for (iov_skip(iov, count, 0); n < RUN_PIECES && *count > 0 && *bytes < RUN; n++) {
        size_t room = RUN - *bytes;
        run[n] = (struct iovec){(*iov)->iov_base, (*iov)->iov_len < room ? (*iov)->iov_len : room};
        *bytes += run[n].iov_len;
        iov_skip(iov, count, run[n].iov_len);
    }
    return n;
}

/* Without what lies behind `bytes`. */
static int trim(const struct iovec *run, int count, size_t bytes, struct iovec out[RUN_PIECES])
{
    int n = 0;
    for (; n < count && bytes > 0; n++) {
        out[n] = (struct iovec){run[n].iov_base, run[n].iov_len < bytes ? run[n].iov_len : bytes};
        bytes -= out[n].iov_len;
    }
    return n;
}

static int fill(struct body_digest *body, struct iovec *iov, int count, size_t *got)
{
    struct iovec run[RUN_PIECES], pieces[RUN_PIECES];
    size_t wanted, some;
    for (int n; !body->ended && (n = cut_run(&iov, &count, run, &wanted)) > 0;) {
        memcpy(pieces, run, sizeof(run[0]) * (size_t)n);
        int rc = source_readv(body->inner, pieces, n, &some);
        if (rc == 0 && some > 0)
            rc = digest_run(body, pieces, trim(run, n, some, pieces));
        if (rc == 0 && some < wanted)
            rc = verify(body);
        else if (rc == 0 && body->inner->length >= 0 && body->passed == (uint64_t)body->inner->length)
            rc = look_for_end(body);
        if (rc != 0)
            return rc;
        *got += some;
    }
    return 0;
}

static int digest_readv(struct source *source, struct iovec *iov, int count, size_t *got)
{
    struct body_digest *body = LIST_ENTRY(source, struct body_digest, source);
    *got = 0;
    if (body->rc == 0)
        body->rc = fill(body, iov, count, got);
    if (body->rc != 0)
        *got = 0;
    return body->rc;
}

static int digest_read(struct source *source, uint8_t *dst, size_t capacity, size_t *got)
{
    struct iovec iov = {dst, capacity};
    return digest_readv(source, &iov, 1, got);
}

int body_digest_create(struct arena *arena, struct source *inner, const struct body_expectation *expectation,
                       struct body_digest **out)
{
    struct body_digest *body = arena_zalloc(arena, sizeof(*body));
    if (body == NULL)
        return ERR_NOMEM;
    body->source = (struct source){.read = digest_read, .readv = digest_readv, .length = inner->length};
    body->inner = inner;
    body->expectation = *expectation;
    md5_init(&body->md5_state);
    body->entered = md5_queue_enter(inner->length);
    int rc = 0;
    if (expectation->sha256_given || expectation->checksum == DIGEST_SHA256)
        rc = digest_create(DIGEST_SHA256, &body->sha256);
    if (rc == 0 && expectation->checksum != DIGEST_NONE && expectation->checksum != DIGEST_SHA256)
        rc = digest_create(expectation->checksum, &body->checksum);
    if (rc != 0) {
        body_digest_free(body);
        return rc;
    }
    *out = body;
    return 0;
}

void body_digest_free(struct body_digest *body)
{
    if (body == NULL)
        return;
    if (body->entered)
        md5_queue_leave();
    body->entered = false;
    digest_free(body->sha256);
    digest_free(body->checksum);
    body->sha256 = body->checksum = NULL;
}

struct source *body_digest_source(struct body_digest *body)
{
    return &body->source;
}

const uint8_t *body_digest_md5(const struct body_digest *body)
{
    return body->md5;
}

struct span body_digest_checksum(const struct body_digest *body)
{
    return span_of(body->checksum_value, digest_size(body->expectation.checksum));
}
