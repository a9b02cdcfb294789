/* A verifier with one known access key, for the fuzz targets of auth. */
#ifndef ARCA_TEST_FUZZ_AUTH_H
#define ARCA_TEST_FUZZ_AUTH_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "auth/auth.h"

static struct auth *fuzz_auth(void)
{
    static const char text[] = "- {name: test, access_key: ARCATESTACCESSKEY001, user_id: u,\n"
                               "   secret_key: wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY}\n";
    static struct auth *auth;
    char path[64], why[256] = "";

    if (auth != NULL)
        return auth;
    int fd = memfd_create("credentials", 0);
    if (fd < 0 || write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1 || fchmod(fd, 0600) != 0)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const struct auth_options options = {.credentials_file = path, .region = "us-east-1"};
    if (auth_create(&options, why, sizeof(why), &auth) != 0) {
        fprintf(stderr, "%s\n", why);
        abort();
    }
    return auth;
}

/* 2026-11-24 20:30:43 UTC: the time of the vectors in test/vectors/sigv4. */
#define FUZZ_NOW_MS 1795552243000

static void fuzz_verify(struct span head, struct span host_bucket)
{
    struct arena *arena = arena_create(4 << 20);
    struct auth_identity identity;
    struct http_request request;
    int status;

    if (arena == NULL)
        return;
    if (http_parse_head(head, arena, &request, &status) == 0 &&
        auth_verify(fuzz_auth(), &request, host_bucket, arena, FUZZ_NOW_MS, &identity) == 0) {
        /* A presigned body is never chunked. */
        if (identity.presigned && identity.payload > AUTH_PAYLOAD_UNSIGNED)
            abort();
        auth_release(&identity);
    }
    arena_free(arena);
}

#endif
