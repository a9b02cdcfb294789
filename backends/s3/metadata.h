/* Keys from a metadata service.
 * EC2: docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html, IMDSv2 only.
 * ECS: docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html */
#ifndef ARCA_BACKENDS_S3_METADATA_H
#define ARCA_BACKENDS_S3_METADATA_H

#include "backends/remote/remote.h"
#include "backends/remote/secrets.h"

/* The order of the values that a source of keys fills. */
enum { SECRET_ACCESS_KEY_ID, SECRET_SECRET_ACCESS_KEY, SECRET_SESSION_TOKEN, S3_SECRETS };

/* Asks the service at `address` (NULL: the usual). *expires_ms is in wall time, INT64_MAX if it never does. ERR_INVALID
 * (the address, or no address for ECS), ERR_SYNTAX (what it answers), and what remote_perform tells; `why` has it in
 * words. */
int metadata_ec2(struct remote *remote, const char *address, int64_t deadline_ms, struct secrets *out,
                 int64_t *expires_ms, char *why, size_t why_size) SUSPENDS;
int metadata_ecs(struct remote *remote, const char *address, int64_t deadline_ms, struct secrets *out,
                 int64_t *expires_ms, char *why, size_t why_size) SUSPENDS;

/* The document that both answer, for them and for tests. ERR_SYNTAX, ERR_NOMEM. */
int metadata_parse(struct span json, struct secrets *out, int64_t *expires_ms);

#endif
