/* The journal as text or JSON. Records are protobuf messages and are shown by their descriptors, so that a new field or
 * operation needs no line here. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "arcactl.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "index/index.h"

struct dump {
    bool json;
    struct buf line;
};

/* --- values --- */

static void put_quoted(struct buf *out, struct span text)
{
    buf_append_str(out, "\"");
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
            buf_printf(out, "\\u%04x", c);
        else
            buf_append(out, span_of(&text.ptr[i], 1));
    }
    buf_append_str(out, "\"");
}

static void put_hex(struct buf *out, struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        buf_printf(out, "%02x", bytes.ptr[i]);
}

/* Keys of objects and values of metadata are text as a rule, ids and wrapped keys never. */
static void put_bytes(struct dump *dump, const char *name, struct span bytes)
{
    if ((strcmp(name, "key") == 0 || strcmp(name, "value") == 0) && text_is_utf8(bytes)) {
        put_quoted(&dump->line, bytes);
    } else {
        buf_append_str(&dump->line, dump->json ? "\"" : "");
        put_hex(&dump->line, bytes);
        buf_append_str(&dump->line, dump->json ? "\"" : "");
    }
}

static void put_name(struct dump *dump, const char *name, bool first)
{
    if (dump->json)
        buf_printf(&dump->line, "%s\"%s\":", first ? "" : ",", name);
    else
        buf_printf(&dump->line, "%s%s=", first ? "" : " ", name);
}

/* As deep as records.proto nests. */
static void put_message(struct dump *dump, const ProtobufCMessage *message);

static void put_value(struct dump *dump, const ProtobufCFieldDescriptor *field, const void *value)
{
    struct buf *out = &dump->line;
    const ProtobufCBinaryData *bytes = value;

    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
        buf_printf(out, "%" PRId64, *(const int64_t *)value);
        break;
    case PROTOBUF_C_TYPE_UINT64:
        buf_printf(out, "%" PRIu64, *(const uint64_t *)value);
        break;
    case PROTOBUF_C_TYPE_UINT32:
        buf_printf(out, "%" PRIu32, *(const uint32_t *)value);
        break;
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumValue *word = protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)value);
        if (word != NULL)
            put_quoted(out, span_str(word->name));
        else
            buf_printf(out, "%d", *(const int *)value);
        break;
    }
    case PROTOBUF_C_TYPE_BOOL:
        buf_append_str(out, *(const protobuf_c_boolean *)value ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_STRING:
        put_quoted(out, span_str(*(char *const *)value));
        break;
    case PROTOBUF_C_TYPE_BYTES:
        put_bytes(dump, field->name, span_of(bytes->data, bytes->len));
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        buf_append_str(out, "{");
        put_message(dump, *(const ProtobufCMessage *const *)value);
        buf_append_str(out, "}");
        break;
    default:
        buf_append_str(out, "\"?\"");
    }
}

/* --- messages --- */

static size_t value_size(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return 8;
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    default:
        return 4;
    }
}

/* What proto3 does not store: zero, empty, absent. */
static bool is_default(const ProtobufCFieldDescriptor *field, const void *value)
{
    static const uint8_t zeroes[8];

    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return **(char *const *)value == '\0';
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)value)->len == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(void *const *)value == NULL;
    default:
        return memcmp(value, zeroes, value_size(field)) == 0;
    }
}

static void put_list(struct dump *dump, const ProtobufCFieldDescriptor *field, const uint8_t *values, size_t count)
{
    buf_append_str(&dump->line, "[");
    for (size_t i = 0; i < count; i++) {
        buf_append_str(&dump->line, i == 0 ? "" : dump->json ? "," : " ");
        put_value(dump, field, values + i * value_size(field));
    }
    buf_append_str(&dump->line, "]");
}

static void put_message(struct dump *dump, const ProtobufCMessage *message)
{
    const uint8_t *base = (const uint8_t *)message;
    bool first = true;

    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const uint8_t *member = base + field->offset;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t count = *(const size_t *)(const void *)(base + field->quantifier_offset);
            if (count == 0)
                continue;
            put_name(dump, field->name, first);
            put_list(dump, field, *(const uint8_t *const *)(const void *)member, count);
        } else {
            if (is_default(field, member))
                continue;
            put_name(dump, field->name, first);
            put_value(dump, field, member);
        }
        first = false;
    }
}

/* The operation's name and message: the one member of the oneof. */
static const ProtobufCMessage *operation(const Arca__Mutation *mutation, const char **name)
{
    const ProtobufCMessageDescriptor *descriptor = mutation->base.descriptor;
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(descriptor, mutation->op_case);

    if (mutation->op_case == 0 || field == NULL)
        return NULL;
    *name = field->name;
    return *(const ProtobufCMessage *const *)(const void *)((const uint8_t *)mutation + field->offset);
}

static int dump_record(const struct journal_record *record, void *arg)
{
    struct dump *dump = arg;
    struct buf *out = &dump->line;
    const char *name = "unknown";
    const ProtobufCMessage *message = operation(record->mutation, &name);
    char time[CLOCK_ISO_SIZE];

    out->len = 0;
    clock_iso(record->mutation->time_ms, time);
    if (dump->json)
        buf_printf(out, "{\"sequence\":%" PRIu64 ",\"time\":\"%s\",\"operation\":\"%s\",\"%s\":{", record->sequence,
                   time, name, name);
    else
        buf_printf(out, "%" PRIu64 " %s %s ", record->sequence, time, name);
    if (message != NULL)
        put_message(dump, message);
    buf_append_str(out, dump->json ? "}}\n" : "\n");
    if (out->failed != 0)
        return out->failed;
    return fwrite(out->ptr, 1, out->len, stdout) == out->len ? 0 : ERR_CLOSED;
}

int journal_dump_command(const struct request *request)
{
    struct dump dump = {.json = request->json, .line = {.cap = 256U << 20}};
    struct config *config = NULL;
    const char *path = request->index;
    uint64_t torn = 0;
    struct stat st;

    if (path == NULL) {
        config = request_config(request);
        if (config == NULL)
            return EXIT_TROUBLE;
        path = config->index_path;
    }
    int rc = stat(path, &st) == 0 ? index_journal_dump(path, dump_record, &dump, &torn) : ERR_NOT_FOUND;
    int status = rc == 0 ? EXIT_FINE : trouble("%s: %s", rc == ERR_CLOSED ? "standard output" : path, err_text(rc));
    if (rc == 0 && torn > 0)
        fprintf(stderr, "the journal ends with %" PRIu64 " bytes that are no whole record; a start cuts them off\n",
                torn);
    buf_free(&dump.line);
    config_free(config);
    return status;
}
