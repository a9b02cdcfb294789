#include "auth/auth.h"
#include "base/err.h"
#include "crypto/digest.h"

struct chain_verifier {
    struct aws_chunk_verifier verifier;
    struct sign_chain *chain;
};

static int verify_chunk(struct aws_chunk_verifier *verifier, const uint8_t sha256[32], struct span signature)
{
    struct chain_verifier *v = (struct chain_verifier *)verifier;
    char expected[65];

    sign_chunk(v->chain, sha256, expected);
    return sign_equal(signature, expected) ? 0 : ERR_SIGNATURE;
}

static int verify_trailer(struct aws_chunk_verifier *verifier, struct span canonical, struct span signature)
{
    struct chain_verifier *v = (struct chain_verifier *)verifier;
    uint8_t sha256[DIGEST_MAX];
    char expected[65];

    digest_once(DIGEST_SHA256, canonical, sha256);
    sign_trailer(v->chain, sha256, expected);
    return sign_equal(signature, expected) ? 0 : ERR_SIGNATURE;
}

struct aws_chunk_verifier *auth_chunk_verifier(struct auth_identity *identity, struct arena *arena)
{
    struct chain_verifier *v = arena_zalloc(arena, sizeof(*v));

    if (v == NULL)
        return NULL;
    v->chain = &identity->chain;
    if (identity->payload == AUTH_PAYLOAD_CHUNKED_SIGNED || identity->payload == AUTH_PAYLOAD_CHUNKED_SIGNED_TRAILER)
        v->verifier = (struct aws_chunk_verifier){verify_chunk, verify_trailer};
    return &v->verifier;
}
