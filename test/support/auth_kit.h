/* A verifier with two known access keys, and requests that were signed at a fixed time: what the tests of auth share.
 */
#ifndef ARCA_TEST_AUTH_KIT_H
#define ARCA_TEST_AUTH_KIT_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "auth/auth.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "unit.h"

#define ACCESS_KEY "ARCATESTACCESSKEY001"
#define NOW        "20261124T203043Z"

static const char credentials[] = "- name: test\n"
                                  "  access_key: " ACCESS_KEY "\n"
                                  "  secret_key: wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n"
                                  "  user_id: 75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a\n"
                                  "- name: documentation\n"
                                  "  access_key: AKIAIOSFODNN7EXAMPLE\n"
                                  "  secret_key: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'\n"
                                  "  user_id: doc\n";

static char credentials_path[256];
static struct auth *auth;
static struct arena *arena;

static void write_credentials(const char *text)
{
    FILE *f = fopen(credentials_path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int make_auth(void **state)
{
    struct auth_options options = {.credentials_file = credentials_path, .region = "us-east-1"};
    const char *tmp = getenv("TMPDIR");
    char why[256];
    int fd;

    (void)state;
    snprintf(credentials_path, sizeof(credentials_path), "%s/arca-auth-XXXXXX", tmp != NULL ? tmp : "/tmp");
    fd = mkstemp(credentials_path);
    if (fd < 0)
        return -1;
    close(fd);
    write_credentials(credentials);
    arena = arena_create(1 << 20);
    return arena != NULL && auth_create(&options, why, sizeof(why), &auth) == 0 ? 0 : -1;
}

static int free_auth(void **state)
{
    (void)state;
    auth_free(auth);
    arena_free(arena);
    return unlink(credentials_path);
}

static int64_t wall_ms(const char *basic)
{
    int64_t seconds;

    assert_int_equal(clock_parse_basic(span_str(basic), &seconds), 0);
    return seconds * 1000;
}

/* `head` has LF line ends. 1: not even HTTP. */
static int verify_virtual(const char *head, const char *host_bucket, const char *now, struct auth_identity *out)
{
    struct http_request request;
    struct buf raw = {0};
    int status, rc;

    for (const char *c = head; *c != '\0'; c++)
        buf_append(&raw, *c == '\n' ? SPAN_LITERAL("\r\n") : span_of(c, 1));
    assert_int_equal(raw.failed, 0);
    arena_reset(arena);
    if (http_parse_head(buf_span(&raw), arena, &request, &status) != 0)
        rc = 1;
    else
        rc = auth_verify(auth, &request, span_str(host_bucket), arena, wall_ms(now), out);
    buf_free(&raw);
    return rc;
}

static int verify(const char *head, const char *now, struct auth_identity *out)
{
    return verify_virtual(head, NULL, now, out);
}

static int verdict(const char *head, const char *now)
{
    struct auth_identity identity;
    int rc = verify(head, now, &identity);

    if (rc == 0)
        auth_release(&identity);
    return rc;
}

/* `text` with the first `from` replaced; the caller frees it. */
static char *edited(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    char *out;

    assert_non_null(at);
    assert_true(asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) >= 0);
    return out;
}

static int verdict_edited(const char *text, const char *from, const char *to)
{
    char *head = edited(text, from, to);
    int rc = verdict(head, NOW);

    free(head);
    return rc;
}

/* --- the vectors --- */

struct vector {
    char name[64];
    char text[4096];
    const char *head;
    char now[32], payload[32], presigned[8];
    char bucket[64]; /* that the host names */
};

static void read_vector(const char *folder, const char *name, struct vector *out)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    snprintf(out->name, sizeof(out->name), "%s", name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(out->text, 1, sizeof(out->text) - 1, f);
    fclose(f);
    out->text[n] = '\0';
    out->bucket[0] = '\0';
    assert_true(sscanf(out->text, "now: %31s payload: %31s presigned: %7s bucket: %63s", out->now, out->payload,
                       out->presigned, out->bucket) >= 3);
    out->head = strstr(out->text, "\n\n");
    assert_non_null(out->head);
    out->head += 2;
}

static int is_text(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return length > 4 && strcmp(entry->d_name + length - 4, ".txt") == 0;
}

static void each_vector(const char *kind, void (*fn)(struct vector *vector))
{
    const char *source = getenv("ARCA_SOURCE");
    struct dirent **entries;
    char folder[400];

    snprintf(folder, sizeof(folder), "%s/test/vectors/%s", source != NULL ? source : ".", kind);
    int count = scandir(folder, &entries, is_text, alphasort);
    assert_true(count > 20);
    for (int i = 0; i < count; i++) {
        struct vector vector;
        read_vector(folder, entries[i]->d_name, &vector);
        fn(&vector);
        free(entries[i]);
    }
    free(entries);
}

static void load_one(const char *kind, const char *name, struct vector *out)
{
    const char *source = getenv("ARCA_SOURCE");
    char folder[400];

    snprintf(folder, sizeof(folder), "%s/test/vectors/%s", source != NULL ? source : ".", kind);
    read_vector(folder, name, out);
}

#endif
