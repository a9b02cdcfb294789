/* A self-signed certificate and its key as PEM files, for TLS tests. */
#ifndef ARCA_TEST_CERTIFICATE_H
#define ARCA_TEST_CERTIFICATE_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

static inline void certificate_write(const char *certificate_file, const char *key_file, const char *common_name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    FILE *key_out = fopen(key_file, "w"), *certificate_out = fopen(certificate_file, "w");
    if (key == NULL || certificate == NULL || key_out == NULL || certificate_out == NULL)
        abort();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, key);
    if (X509_sign(certificate, key, EVP_sha256()) == 0 || PEM_write_X509(certificate_out, certificate) != 1 ||
        PEM_write_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) != 1)
        abort();
    fclose(key_out);
    fclose(certificate_out);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

#endif
