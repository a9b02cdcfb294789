#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <curl/curl.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "net/unix_socket.h"

#define TIMEOUT_S 60L

struct exchange {
    const struct config *config;
    CURL *curl;
    struct buf answer;
    char *why;
    size_t why_size;
};

static int complain(const struct exchange *exchange, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int complain(const struct exchange *exchange, int rc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(exchange->why, exchange->why_size, format, args);
    va_end(args);
    return rc;
}

static size_t take(char *bytes, size_t size, size_t count, void *arg)
{
    struct buf *answer = arg;
    buf_append(answer, span_of(bytes, size * count));
    return answer->failed == 0 ? size * count : 0;
}

static int not_reached(const struct exchange *exchange, CURLcode code)
{
    const char *path = exchange->config->control_socket;
    long error = 0;
    curl_easy_getinfo(exchange->curl, CURLINFO_OS_ERRNO, &error);
    if (exchange->answer.failed != 0)
        return complain(exchange, ERR_NOMEM, "the answer on %s: %s", path, err_text(exchange->answer.failed));
    if (code != CURLE_COULDNT_CONNECT)
        return complain(exchange, ERR_UNAVAILABLE, "arcad does not answer on %s: %s", path, curl_easy_strerror(code));
    if (error == EACCES || error == EPERM)
        return complain(exchange, ERR_DENIED, "%s: no permission; run this as the user that arcad runs as", path);
    if (error == ENOENT || error == ECONNREFUSED)
        return complain(exchange, ERR_UNAVAILABLE, "arcad does not run: nobody listens on %s", path);
    return complain(exchange, ERR_UNAVAILABLE, "%s: %s", path, strerror((int)error));
}

/* A refusal comes as JSON with a message for whoever asked. */
static int take_answer(const struct exchange *exchange, json_t **out)
{
    long status = 0;
    json_error_t error;
    curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &status);
    json_t *json = json_loadb((const char *)exchange->answer.ptr, exchange->answer.len, 0, &error);
    const char *message = json_string_value(json_object_get(json, "message"));
    if (status == 200 && json != NULL) {
        *out = json;
        return 0;
    }
    int rc = status >= 500 ? ERR_UNAVAILABLE : ERR_INVALID;
    if (message != NULL)
        complain(exchange, rc, "%s", message);
    else
        complain(exchange, rc, "arcad answers %ld on %s: is it of another version?", status,
                 exchange->config->control_socket);
    json_decref(json);
    return rc;
}

static int perform(struct exchange *exchange, const char *socket_path, const char *path, const char *body, json_t **out)
{
    char url[1024];
    snprintf(url, sizeof(url), "http://arcad%s", path);
    curl_easy_setopt(exchange->curl, CURLOPT_URL, url);
    curl_easy_setopt(exchange->curl, CURLOPT_UNIX_SOCKET_PATH, socket_path);
    curl_easy_setopt(exchange->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(exchange->curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(exchange->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(exchange->curl, CURLOPT_TIMEOUT, TIMEOUT_S);
    curl_easy_setopt(exchange->curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(exchange->curl, CURLOPT_WRITEDATA, &exchange->answer);
    if (body != NULL)
        curl_easy_setopt(exchange->curl, CURLOPT_POSTFIELDS, body);
    CURLcode code = curl_easy_perform(exchange->curl);
    return code != CURLE_OK ? not_reached(exchange, code) : take_answer(exchange, out);
}

static int ask(const struct config *config, const char *path, const char *body, json_t **out, char *why,
               size_t why_size)
{
    struct exchange exchange = {.config = config, .why = why, .why_size = why_size};
    struct unix_path where;
    int rc = unix_path_open(config->control_socket, &where);
    if (rc == ERR_NOT_FOUND)
        return complain(&exchange, ERR_UNAVAILABLE, "arcad does not run: nobody listens on %s", config->control_socket);
    if (rc != 0)
        return complain(&exchange, ERR_DENIED, "%s: %s", config->control_socket, err_text(rc));
    exchange.curl = path != NULL ? curl_easy_init() : NULL;
    if (exchange.curl == NULL)
        rc = complain(&exchange, ERR_NOMEM, "out of memory");
    else
        rc = perform(&exchange, where.address.sun_path, path, body, out);
    curl_easy_cleanup(exchange.curl);
    buf_free(&exchange.answer);
    unix_path_close(&where);
    return rc;
}

int control_get(const struct config *config, const char *path, json_t **out, char *why, size_t why_size)
{
    return ask(config, path, NULL, out, why, why_size);
}

int control_post(const struct config *config, const char *path, json_t *body, json_t **out, char *why, size_t why_size)
{
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : strdup("");
    json_decref(body);
    int rc = ask(config, text != NULL ? path : NULL, text, out, why, why_size);
    free(text);
    return rc;
}

char *control_path(const char *before, const char *name, const char *behind)
{
    struct buf path = {.cap = 1000};
    buf_append_str(&path, before);
    text_uri_encode(&path, span_str(name), false);
    buf_append_str(&path, behind);
    buf_append(&path, span_of("", 1));
    if (path.failed == 0)
        return (char *)path.ptr;
    buf_free(&path);
    return NULL;
}

const char *control_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

uint64_t control_number(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}
