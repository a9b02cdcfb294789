#include "index/lmdb/records.h"

#include "base/err.h"

struct record_key key_u64(uint64_t id)
{
    struct record_key key = {.len = 8};
    be64_put(key.bytes, id);
    return key;
}

struct record_key key_numbered(const uint8_t id[16], uint32_t number)
{
    struct record_key key = {.len = 20};
    memcpy(key.bytes, id, 16);
    be32_put(key.bytes + 16, number);
    return key;
}

/* Times before 1970 do not occur; they would sort last. */
struct record_key key_timed(int64_t time_ms, const uint8_t id[16])
{
    struct record_key key = {.len = 24};
    be64_put(key.bytes, (uint64_t)time_ms);
    memcpy(key.bytes + 8, id, 16);
    return key;
}

struct record_key key_due(int64_t time_ms, const uint8_t id[16], uint32_t number)
{
    struct record_key key = {.len = 28}, numbered = key_numbered(id, number);
    be64_put(key.bytes, (uint64_t)time_ms);
    memcpy(key.bytes + 8, numbered.bytes, numbered.len);
    return key;
}

/* --- unpacking: protobuf-c answers NULL for bad bytes and for lack of memory alike, so the allocator remembers --- */

struct counted {
    struct arena *arena;
    bool failed;
};

static void *counted_alloc(void *data, size_t size)
{
    struct counted *counted = data;
    void *p = arena_alloc(counted->arena, size);
    if (p == NULL)
        counted->failed = true;
    return p;
}

static void counted_free(void *data, void *p)
{
    (void)data;
    (void)p;
}

int record_unpack(const ProtobufCMessageDescriptor *descriptor, struct arena *arena, struct span bytes, void *out)
{
    struct counted counted = {.arena = arena};
    ProtobufCAllocator allocator = {.alloc = counted_alloc, .free = counted_free, .allocator_data = &counted};
    ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, &allocator, bytes.len, bytes.ptr);
    if (message == NULL)
        return counted.failed ? ERR_NOMEM : ERR_CORRUPT;
    memcpy(out, &message, sizeof(message));
    return 0;
}

int record_get(struct txn *txn, enum table table, struct span key, const ProtobufCMessageDescriptor *descriptor,
               struct arena *arena, void *out)
{
    struct span value;
    int rc = txn_get(txn, table, key, &value);
    return rc != 0 ? rc : record_unpack(descriptor, arena, value, out);
}

int record_put(struct txn *txn, enum table table, struct span key, const void *message)
{
    uint8_t *value;
    size_t size = protobuf_c_message_get_packed_size(message);
    int rc = txn_reserve(txn, table, key, size, &value);
    if (rc == 0)
        protobuf_c_message_pack(message, value);
    return rc;
}

/* --- the part of an object or upload that a listing shows, read from the wire format by hand --- */

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static bool wire_varint(struct span *s, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && s->len > 0; shift += 7) {
        uint8_t byte = *s->ptr;
        *s = span_skip(*s, 1);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = value;
            return true;
        }
    }
    return false;
}

/* The next field: its number, and its value as a number or as bytes. */
static bool wire_field(struct span *s, uint64_t *number, uint64_t *value, struct span *bytes)
{
    uint64_t tag;
    *value = 0;
    *bytes = SPAN_NONE;
    if (!wire_varint(s, &tag))
        return false;
    *number = tag >> 3;
    size_t size;
    switch (tag & 7) {
    case WIRE_VARINT:
        return wire_varint(s, value);
    case WIRE_FIXED64:
        size = 8;
        break;
    case WIRE_FIXED32:
        size = 4;
        break;
    case WIRE_BYTES:
        if (!wire_varint(s, value) || *value > s->len)
            return false;
        size = (size_t)*value;
        break;
    default:
        return false;
    }
    if (size > s->len)
        return false;
    *bytes = span_take(*s, size);
    *s = span_skip(*s, size);
    return true;
}

/* Of the headers only the storage class, which few have: *out is left without one. */
static int listed_headers(struct arena *arena, struct span bytes, Arca__Headers **out)
{
    while (bytes.len > 0) {
        uint64_t number, value;
        struct span content;
        if (!wire_field(&bytes, &number, &value, &content))
            return ERR_CORRUPT;
        if (number != 8)
            continue;
        Arca__Headers *headers = arena_alloc(arena, sizeof(*headers));
        if (headers == NULL)
            return ERR_NOMEM;
        arca__headers__init(headers);
        if ((headers->storage_class = arena_strdup(arena, content)) == NULL)
            return ERR_NOMEM;
        *out = headers;
    }
    return 0;
}

static int listed_checksum(struct arena *arena, struct span bytes, Arca__Object *object)
{
    Arca__Checksum *checksum;
    int rc = record_unpack(&arca__checksum__descriptor, arena, bytes, &checksum);
    if (rc != 0)
        return rc;
    Arca__Checksum **all = arena_alloc(arena, (object->n_checksums + 1) * sizeof(*all));
    if (all == NULL)
        return ERR_NOMEM;
    if (object->n_checksums != 0)
        memcpy(all, object->checksums, object->n_checksums * sizeof(*all));
    all[object->n_checksums++] = checksum;
    object->checksums = all;
    return 0;
}

static int listed_field(struct arena *arena, uint64_t number, uint64_t value, struct span bytes, Arca__Object *object)
{
    char **text = NULL;
    switch (number) {
    case 1:
        object->size = value;
        return 0;
    case 2:
        object->modified_ms = (int64_t)value;
        return 0;
    case 3:
        text = &object->etag;
        break;
    case 4:
        return listed_headers(arena, bytes, &object->headers);
    case 5:
        return listed_checksum(arena, bytes, object);
    case 8:
        object->part_count = (uint32_t)value;
        return 0;
    case 9:
        text = &object->owner_id;
        break;
    case 10:
        text = &object->owner_name;
        break;
    case 11:
        object->version = value;
        return 0;
    default:
        return 0;
    }
    *text = arena_strdup(arena, bytes);
    return *text != NULL ? 0 : ERR_NOMEM;
}

int record_unpack_listed(struct arena *arena, struct span bytes, Arca__Object **out)
{
    Arca__Object *object = arena_alloc(arena, sizeof(*object));
    if (object == NULL)
        return ERR_NOMEM;
    arca__object__init(object);
    while (bytes.len > 0) {
        uint64_t number, value;
        struct span content;
        if (!wire_field(&bytes, &number, &value, &content))
            return ERR_CORRUPT;
        int rc = listed_field(arena, number, value, content, object);
        if (rc != 0)
            return rc;
    }
    *out = object;
    return 0;
}

static int listed_upload_field(struct arena *arena, uint64_t number, uint64_t value, struct span bytes,
                               Arca__Upload *upload)
{
    char **text = NULL;
    switch (number) {
    case 1:
        bytes = arena_dup(arena, bytes);
        upload->id = (ProtobufCBinaryData){bytes.len, (uint8_t *)(uintptr_t)bytes.ptr};
        return bytes.ptr != NULL ? 0 : ERR_NOMEM;
    case 3:
        upload->created_ms = (int64_t)value;
        return 0;
    case 4:
        return listed_headers(arena, bytes, &upload->headers);
    case 5:
        upload->checksum_kind = (uint32_t)value;
        return 0;
    case 6:
        upload->checksum_full = value != 0;
        return 0;
    case 7:
        text = &upload->owner_id;
        break;
    case 8:
        text = &upload->owner_name;
        break;
    default:
        return 0;
    }
    *text = arena_strdup(arena, bytes);
    return *text != NULL ? 0 : ERR_NOMEM;
}

int record_unpack_listed_upload(struct arena *arena, struct span bytes, Arca__Upload **out)
{
    Arca__Upload *upload = arena_alloc(arena, sizeof(*upload));
    if (upload == NULL)
        return ERR_NOMEM;
    arca__upload__init(upload);
    while (bytes.len > 0) {
        uint64_t number, value;
        struct span content;
        if (!wire_field(&bytes, &number, &value, &content))
            return ERR_CORRUPT;
        int rc = listed_upload_field(arena, number, value, content, upload);
        if (rc != 0)
            return rc;
    }
    *out = upload;
    return 0;
}

/* --- meta --- */

#define META_KEY SPAN_LITERAL("meta")

int meta_get(struct txn *txn, struct meta *out)
{
    struct span value;
    memset(out, 0, sizeof(*out));
    out->next_id = 1;
    int rc = txn_get(txn, TABLE_META, META_KEY, &value);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc != 0)
        return rc;
    Arca__Meta *meta = arca__meta__unpack(NULL, value.len, value.ptr);
    if (meta == NULL)
        return ERR_CORRUPT;
    if (meta->format != VIEW_FORMAT) {
        rc = ERR_FORMAT;
    } else if (meta->last_hash.len != sizeof(out->last_hash) || meta->keyring_id.len > sizeof(out->keyring_id)) {
        rc = ERR_CORRUPT;
    } else {
        out->sequence = meta->sequence;
        out->next_id = meta->next_id;
        memcpy(out->last_hash, meta->last_hash.data, sizeof(out->last_hash));
        out->keyring_id_len = meta->keyring_id.len;
        if (meta->keyring_id.len != 0)
            memcpy(out->keyring_id, meta->keyring_id.data, meta->keyring_id.len);
    }
    arca__meta__free_unpacked(meta, NULL);
    return rc;
}

int meta_put(struct txn *txn, const struct meta *meta)
{
    Arca__Meta row = ARCA__META__INIT;
    row.format = VIEW_FORMAT;
    row.sequence = meta->sequence;
    row.next_id = meta->next_id;
    row.keyring_id = (ProtobufCBinaryData){meta->keyring_id_len, (uint8_t *)meta->keyring_id};
    row.last_hash = (ProtobufCBinaryData){sizeof(meta->last_hash), (uint8_t *)meta->last_hash};
    return record_put(txn, TABLE_META, META_KEY, &row);
}
