/* The schema: one row a key. What is optional here has its default in config.c. */
#include "config/config_file.h"
#include "backends/settings.h"
#include "base/log.h"
#include "config/config.h"

#define REQUIRED                            CYAML_FLAG_POINTER
#define OPTIONAL                            (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define TEXT(key, flags, type, member, max) CYAML_FIELD_STRING_PTR(key, flags, type, member, 1, max)
#define WORD(key, type, member, words) \
    CYAML_FIELD_ENUM_PTR(key, CYAML_FLAG_STRICT | OPTIONAL, type, member, words, CYAML_ARRAY_LEN(words))

#define ADDRESS_MAX 255 /* a host name or an IP address */
#define PATH_LENGTH 4000
#define NAME_LENGTH 32
#define UNITS_MAX   24

const cyaml_strval_t config_drivers[] = {{"disk", 0}, {"s3", 1}, {"azure", 2}};
const cyaml_strval_t config_suites[] = {{"aes-256-gcm", 0}, {"xchacha20-poly1305", 1}, {"aegis-256", 2}};
static const cyaml_strval_t addressings[] = {{"path", 0}, {"virtual-host", 1}};
static const cyaml_strval_t signatures[] = {{"v2", 2}, {"v4", 4}};
static const cyaml_strval_t metadata_services[] = {{"ec2", BACKEND_CREDENTIALS_EC2}, {"ecs", BACKEND_CREDENTIALS_ECS}};
static const cyaml_strval_t modes[] = {{"async", 0}, {"sync", 1}};
static const cyaml_strval_t levels[] = {
    {"debug", LOG_DEBUG}, {"info", LOG_INFO}, {"warn", LOG_WARN}, {"error", LOG_ERROR}};
static const cyaml_strval_t verifications[] = {{"full", 0}, {"header", 1}};
static const cyaml_strval_t formats[] = {{"text", LOG_TEXT}, {"json", LOG_JSON}};

static const cyaml_schema_field_t tls_fields[] = {
    TEXT("certificate", REQUIRED, struct file_tls, certificate, PATH_LENGTH),
    TEXT("key", REQUIRED, struct file_tls, key, PATH_LENGTH),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t listener_fields[] = {
    TEXT("address", REQUIRED, struct file_listener, address, ADDRESS_MAX),
    CYAML_FIELD_UINT("port", CYAML_FLAG_DEFAULT, struct file_listener, port),
    CYAML_FIELD_MAPPING_PTR("tls", CYAML_FLAG_OPTIONAL, struct file_listener, tls, tls_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t listener = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_listener, listener_fields)};
static const cyaml_schema_field_t admin_fields[] = {
    TEXT("address", REQUIRED, struct file_admin, address, ADDRESS_MAX),
    CYAML_FIELD_UINT("port", CYAML_FLAG_DEFAULT, struct file_admin, port),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t control_fields[] = {
    TEXT("socket", OPTIONAL, struct file_control, socket, PATH_LENGTH),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t domain = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, ADDRESS_MAX)};
static const cyaml_schema_field_t unlock_fields[] = {
    TEXT("key_file", OPTIONAL, struct file_unlock, key_file, PATH_LENGTH),
    TEXT("credential", OPTIONAL, struct file_unlock, credential, 255),
    TEXT("passphrase_file", OPTIONAL, struct file_unlock, passphrase_file, PATH_LENGTH),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t keyring_fields[] = {
    TEXT("file", REQUIRED, struct file_keyring, file, PATH_LENGTH),
    CYAML_FIELD_MAPPING("unlock", CYAML_FLAG_DEFAULT, struct file_keyring, unlock, unlock_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t index_fields[] = {
    TEXT("path", REQUIRED, struct file_index, path, PATH_LENGTH),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t backend_credentials_fields[] = {
    TEXT("file", OPTIONAL, struct file_backend_credentials, file, PATH_LENGTH),
    TEXT("environment", OPTIONAL, struct file_backend_credentials, environment, 64),
    WORD("metadata", struct file_backend_credentials, metadata, metadata_services),
    TEXT("endpoint", OPTIONAL, struct file_backend_credentials, endpoint, ADDRESS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t backend_fields[] = {
    TEXT("name", REQUIRED, struct file_backend, name, NAME_LENGTH),
    CYAML_FIELD_ENUM("driver", CYAML_FLAG_STRICT, struct file_backend, driver, config_drivers,
                     CYAML_ARRAY_LEN(config_drivers)),
    TEXT("path", OPTIONAL, struct file_backend, path, PATH_LENGTH),
    TEXT("segment_size", OPTIONAL, struct file_backend, segment_size, UNITS_MAX),
    TEXT("endpoint", OPTIONAL, struct file_backend, endpoint, ADDRESS_MAX),
    TEXT("bucket", OPTIONAL, struct file_backend, bucket, 63),
    TEXT("container", OPTIONAL, struct file_backend, container, 63),
    TEXT("account", OPTIONAL, struct file_backend, account, 63),
    TEXT("prefix", OPTIONAL, struct file_backend, prefix, 64),
    TEXT("region", OPTIONAL, struct file_backend, region, 32),
    WORD("addressing", struct file_backend, addressing, addressings),
    WORD("signature", struct file_backend, signature, signatures),
    TEXT("storage_class", OPTIONAL, struct file_backend, storage_class, 32),
    CYAML_FIELD_MAPPING_PTR("credentials", CYAML_FLAG_OPTIONAL, struct file_backend, credentials,
                            backend_credentials_fields),
    TEXT("ca_file", OPTIONAL, struct file_backend, ca_file, PATH_LENGTH),
    TEXT("proxy", OPTIONAL, struct file_backend, proxy, ADDRESS_MAX),
    TEXT("timeout", OPTIONAL, struct file_backend, timeout, UNITS_MAX),
    CYAML_FIELD_UINT_PTR("connections", CYAML_FLAG_OPTIONAL, struct file_backend, connections),
    TEXT("jurisdiction", OPTIONAL, struct file_backend, jurisdiction, NAME_LENGTH),
    CYAML_FIELD_UINT_PTR("cost", CYAML_FLAG_OPTIONAL, struct file_backend, cost),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t backend = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_backend, backend_fields)};
static const cyaml_schema_value_t backend_name = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, NAME_LENGTH)};
static const cyaml_schema_field_t label_fields[] = {
    CYAML_FIELD_SEQUENCE("jurisdiction", REQUIRED, struct file_labels, jurisdiction, &backend_name, 1, 32),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t placement_fields[] = {
    TEXT("name", REQUIRED, struct file_placement, name, NAME_LENGTH),
    CYAML_FIELD_SEQUENCE("backends", REQUIRED, struct file_placement, backends, &backend_name, 1, 16),
    CYAML_FIELD_UINT("write_quorum", CYAML_FLAG_DEFAULT, struct file_placement, write_quorum),
    CYAML_FIELD_MAPPING_PTR("required_labels", CYAML_FLAG_OPTIONAL, struct file_placement, required_labels,
                            label_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t placement = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_placement, placement_fields)};
static const cyaml_schema_field_t limits_fields[] = {
    TEXT("body_memory", OPTIONAL, struct file_limits, body_memory, UNITS_MAX),
    CYAML_FIELD_UINT_PTR("connections", CYAML_FLAG_OPTIONAL, struct file_limits, connections),
    TEXT("head_timeout", OPTIONAL, struct file_limits, head_timeout, UNITS_MAX),
    TEXT("body_timeout", OPTIONAL, struct file_limits, body_timeout, UNITS_MAX),
    TEXT("idle_timeout", OPTIONAL, struct file_limits, idle_timeout, UNITS_MAX),
    TEXT("drain_timeout", OPTIONAL, struct file_limits, drain_timeout, UNITS_MAX),
    TEXT("extent_size", OPTIONAL, struct file_limits, extent_size, UNITS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t encryption_fields[] = {
    WORD("suite", struct file_encryption, suite, config_suites),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t garbage_fields[] = {
    TEXT("grace", OPTIONAL, struct file_garbage, grace, UNITS_MAX),
    CYAML_FIELD_UINT_PTR("operations", CYAML_FLAG_OPTIONAL, struct file_garbage, operations),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t repair_fields[] = {
    TEXT("rate", OPTIONAL, struct file_repair, rate, UNITS_MAX),
    CYAML_FIELD_UINT_PTR("operations", CYAML_FLAG_OPTIONAL, struct file_repair, operations),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t scrub_fields[] = {
    TEXT("rate", OPTIONAL, struct file_scrub, rate, UNITS_MAX),
    CYAML_FIELD_UINT_PTR("operations", CYAML_FLAG_OPTIONAL, struct file_scrub, operations),
    TEXT("interval", OPTIONAL, struct file_scrub, interval, UNITS_MAX),
    WORD("verify", struct file_scrub, verify, verifications),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t journal_fields[] = {
    TEXT("placement", REQUIRED, struct file_journal, placement, NAME_LENGTH),
    WORD("mode", struct file_journal, mode, modes),
    TEXT("interval", OPTIONAL, struct file_journal, interval, UNITS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t logging_fields[] = {
    WORD("level", struct file_log, level, levels),
    WORD("format", struct file_log, format, formats),
    CYAML_FIELD_BOOL_PTR("access", CYAML_FLAG_OPTIONAL, struct file_log, access),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t config_fields[] = {
    CYAML_FIELD_SEQUENCE("listeners", REQUIRED, struct config_file, listeners, &listener, 1, 16),
    CYAML_FIELD_MAPPING_PTR("admin", CYAML_FLAG_OPTIONAL, struct config_file, admin, admin_fields),
    CYAML_FIELD_MAPPING_PTR("control", CYAML_FLAG_OPTIONAL, struct config_file, control, control_fields),
    TEXT("region", OPTIONAL, struct config_file, region, 32),
    CYAML_FIELD_SEQUENCE("domains", OPTIONAL, struct config_file, domains, &domain, 0, 64),
    TEXT("credentials", REQUIRED, struct config_file, credentials, PATH_LENGTH),
    CYAML_FIELD_MAPPING("keyring", CYAML_FLAG_DEFAULT, struct config_file, keyring, keyring_fields),
    CYAML_FIELD_MAPPING("index", CYAML_FLAG_DEFAULT, struct config_file, index, index_fields),
    CYAML_FIELD_SEQUENCE("backends", REQUIRED, struct config_file, backends, &backend, 1, 64),
    CYAML_FIELD_SEQUENCE("placements", REQUIRED, struct config_file, placements, &placement, 1,
                         CONFIG_PLACEMENTS_MAX),
    TEXT("default_placement", OPTIONAL, struct config_file, default_placement, NAME_LENGTH),
    CYAML_FIELD_UINT_PTR("loops", CYAML_FLAG_OPTIONAL, struct config_file, loops),
    CYAML_FIELD_MAPPING_PTR("limits", CYAML_FLAG_OPTIONAL, struct config_file, limits, limits_fields),
    CYAML_FIELD_MAPPING_PTR("encryption", CYAML_FLAG_OPTIONAL, struct config_file, encryption, encryption_fields),
    CYAML_FIELD_MAPPING_PTR("garbage", CYAML_FLAG_OPTIONAL, struct config_file, garbage, garbage_fields),
    CYAML_FIELD_MAPPING_PTR("repair", CYAML_FLAG_OPTIONAL, struct config_file, repair, repair_fields),
    CYAML_FIELD_MAPPING_PTR("scrub", CYAML_FLAG_OPTIONAL, struct config_file, scrub, scrub_fields),
    CYAML_FIELD_MAPPING_PTR("journal", CYAML_FLAG_OPTIONAL, struct config_file, journal, journal_fields),
    CYAML_FIELD_MAPPING_PTR("log", CYAML_FLAG_OPTIONAL, struct config_file, log, logging_fields),
    CYAML_FIELD_END,
};
const cyaml_schema_value_t config_file_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config_file, config_fields)};
