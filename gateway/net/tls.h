/* TLS certificates of a listener: OpenSSL, TLS 1.2 or newer, replaceable while connections live. */
#ifndef ARCA_NET_TLS_H
#define ARCA_NET_TLS_H

struct tls;

/* Loads a PEM certificate chain and its key, which is not encrypted. ERR_NOT_FOUND, ERR_INVALID (what and why is
 * logged), ERR_NOMEM. */
int tls_create(const char *certificate_file, const char *key_file, struct tls **out);
/* Loads again; new connections use the new ones. On failure the old ones stay. Any thread. */
int tls_reload(struct tls *tls);
void tls_free(struct tls *tls);

#endif
