/* SPDX-License-Identifier: MIT */
/* Crypto device (VIRTIO 1.4, section 5.9). */
#include "host/class.h"

enum {
    REVISION_1 = 0,
    CIPHER_STATELESS = 1,
    HASH_STATELESS = 2,
    MAC_STATELESS = 3,
    AEAD_STATELESS = 4,
    AKCIPHER_STATELESS = 5
};

static const struct l4vio_name features[] = {
    {REVISION_1, "REVISION_1"},
    {CIPHER_STATELESS, "CIPHER_STATELESS_MODE"},
    {HASH_STATELESS, "HASH_STATELESS_MODE"},
    {MAC_STATELESS, "MAC_STATELESS_MODE"},
    {AEAD_STATELESS, "AEAD_STATELESS_MODE"},
    {AKCIPHER_STATELESS, "AKCIPHER_STATELESS_MODE"},
};

static const struct l4vio_feature_dependency dependencies[] = {
    {CIPHER_STATELESS, REVISION_1, REVISION_1},   {HASH_STATELESS, REVISION_1, REVISION_1},
    {MAC_STATELESS, REVISION_1, REVISION_1},      {AEAD_STATELESS, REVISION_1, REVISION_1},
    {AKCIPHER_STATELESS, REVISION_1, REVISION_1},
};

static const struct l4vio_name status_bits[] = {{0, "HW_READY"}};

static const struct l4vio_name services[] = {
    {0, "CIPHER"}, {1, "HASH"}, {2, "MAC"}, {3, "AEAD"}, {4, "AKCIPHER"}, {5, "IPSEC"},
};

static const struct l4vio_name ciphers[] = {
    {0, "NO_CIPHER"},  {1, "ARC4"},         {2, "AES_ECB"},  {3, "AES_CBC"},  {4, "AES_CTR"},
    {5, "DES_ECB"},    {6, "DES_CBC"},      {7, "3DES_ECB"}, {8, "3DES_CBC"}, {9, "3DES_CTR"},
    {10, "KASUMI_F8"}, {11, "SNOW3G_UEA2"}, {12, "AES_F8"},  {13, "AES_XTS"}, {14, "ZUC_EEA3"},
};

static const struct l4vio_name hashes[] = {
    {0, "NO_HASH"},        {1, "MD5"},      {2, "SHA1"},      {3, "SHA_224"},
    {4, "SHA_256"},        {5, "SHA_384"},  {6, "SHA_512"},   {7, "SHA3_224"},
    {8, "SHA3_256"},       {9, "SHA3_384"}, {10, "SHA3_512"}, {11, "SHA3_SHAKE128"},
    {12, "SHA3_SHAKE256"},
};

/* The second word begins at bit 32. */
static const struct l4vio_name macs_low[] = {
    {0, "NO_MAC"},       {1, "HMAC_MD5"},     {2, "HMAC_SHA1"},    {3, "HMAC_SHA_224"},
    {4, "HMAC_SHA_256"}, {5, "HMAC_SHA_384"}, {6, "HMAC_SHA_512"}, {25, "CMAC_3DES"},
    {26, "CMAC_AES"},    {27, "KASUMI_F9"},   {28, "SNOW3G_UIA2"},
};

static const struct l4vio_name macs_high[] = {
    {41 - 32, "GMAC_AES"},         {42 - 32, "GMAC_TWOFISH"}, {49 - 32, "CBCMAC_AES"},
    {50 - 32, "CBCMAC_KASUMI_F9"}, {53 - 32, "XCBC_AES"},     {54 - 32, "ZUC_EIA3"},
};

static const struct l4vio_name aeads[] = {
    {0, "NO_AEAD"},
    {1, "GCM"},
    {2, "CCM"},
    {3, "CHACHA20_POLY1305"},
};

static const struct l4vio_name akciphers[] = {{0, "NO_AKCIPHER"}, {1, "RSA"}, {2, "ECDSA"}};

static const struct l4vio_config_field fields[] = {
    {CLASS_FIELD("status", 0, 4), CLASS_FLAGS(status_bits), CLASS_ALWAYS, .most = 1},
    {CLASS_FIELD("max_dataqueues", 4, 4), CLASS_ALWAYS, .least = 1, .most = 65535},
    {CLASS_FIELD("crypto_services", 8, 4), CLASS_FLAGS(services), CLASS_ALWAYS},
    {CLASS_FIELD("cipher_algo_l", 12, 4), CLASS_FLAGS(ciphers), CLASS_ALWAYS},
    {CLASS_FIELD("cipher_algo_h", 16, 4), .kind = L4VIO_FIELD_FLAGS, CLASS_ALWAYS},
    {CLASS_FIELD("hash_algo", 20, 4), CLASS_FLAGS(hashes), CLASS_ALWAYS},
    {CLASS_FIELD("mac_algo_l", 24, 4), CLASS_FLAGS(macs_low), CLASS_ALWAYS},
    {CLASS_FIELD("mac_algo_h", 28, 4), CLASS_FLAGS(macs_high), CLASS_ALWAYS},
    {CLASS_FIELD("aead_algo", 32, 4), CLASS_FLAGS(aeads), CLASS_ALWAYS},
    {CLASS_FIELD("max_cipher_key_len", 36, 4), CLASS_UNIT("bytes", 1), CLASS_ALWAYS},
    {CLASS_FIELD("max_auth_key_len", 40, 4), CLASS_UNIT("bytes", 1), CLASS_ALWAYS},
    {CLASS_FIELD("akcipher_algo", 44, 4), CLASS_FLAGS(akciphers), CLASS_ALWAYS},
    {CLASS_FIELD("max_size", 48, 8), CLASS_UNIT("bytes", 1), CLASS_ALWAYS},
};

/* As many data queues as there are, then the control queue. */
static const struct l4vio_class_queue queues[] = {
    {"dataq#", CLASS_NO_FEATURE},
    {"controlq", CLASS_NO_FEATURE},
};

const struct l4vio_class l4vio_class_crypto = {
    CLASS_TABLE(features), CLASS_TABLE(dependencies), CLASS_TABLE(fields),
    CLASS_TABLE(queues),   "max_dataqueues",
};
