/* SPDX-License-Identifier: MIT */
/**
 * @file wire/l4_unix.h
 * Messages of L4-VIRTIO over a Unix SOCK_SEQPACKET socket, one message per packet, fixed sizes,
 * little-endian. docs/l4-unix.md explains them.
 */
#ifndef L4VIO_WIRE_L4_UNIX_H
#define L4VIO_WIRE_L4_UNIX_H

#include "l4_page.h"

#define L4VIO_UNIX_MAGIC   0x556f764cu /**< "LvoU", little-endian. */
#define L4VIO_UNIX_VERSION 1u          /**< Version of this protocol. */

/** Opcodes besides enum l4vio_call: the ICU's, and extensions above the frozen range. */
enum l4vio_unix_opcode {
    L4VIO_UNIX_ICU_INFO = 0x100,      /**< Result value: number of notification indexes. */
    L4VIO_UNIX_ICU_BIND = 0x101,      /**< argument: index; one eventfd. */
    L4VIO_UNIX_UNREGISTER_DS = 0x200, /**< base, size. */
    L4VIO_UNIX_RESET_QUEUE = 0x201,   /**< argument: queue. */
};

/** First message of either side, 32 bytes. */
struct l4vio_unix_hello {
    l4vio_le32 magic;       /**< L4VIO_UNIX_MAGIC. */
    l4vio_le32 version;     /**< L4VIO_UNIX_VERSION; the server answers with the one it speaks. */
    l4vio_le32 result;      /**< Server: 0 or a negative code (two's complement). Client: 0. */
    l4vio_le32 extensions;  /**< Server: bit 0 UNREGISTER_DS, bit 1 RESET_QUEUE. Client: 0. */
    l4vio_le32 reserved[4]; /**< 0. */
};

/** A call, 40 bytes. Unused fields are 0. Descriptors travel as one SCM_RIGHTS control message. */
struct l4vio_unix_call {
    l4vio_le32 opcode;   /**< enum l4vio_call or enum l4vio_unix_opcode. */
    l4vio_le32 sequence; /**< Chosen by the client, repeated in the reply. */
    l4vio_le32 argument; /**< status, queue or index. */
    l4vio_le32 reserved; /**< 0. */
    l4vio_le64 base;     /**< Device address. */
    l4vio_le64 offset;   /**< Byte offset in the dataspace. */
    l4vio_le64 size;     /**< Bytes. */
};

/** A reply, 24 bytes. */
struct l4vio_unix_reply {
    l4vio_le32 opcode;   /**< Of the call. */
    l4vio_le32 sequence; /**< Of the call. */
    l4vio_le32 result;   /**< 0 or a negative code (two's complement). */
    l4vio_le32 value;    /**< ICU_INFO: number of indexes. */
    l4vio_le64 offset;   /**< DEVICE_CONFIG: byte offset of the page in the dataspace. */
};

#endif
