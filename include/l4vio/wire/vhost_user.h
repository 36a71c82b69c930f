/* SPDX-License-Identifier: MIT */
/**
 * @file wire/vhost_user.h
 * Messages of the vhost-user protocol (QEMU's docs/interop/vhost-user.rst): a stream of header and payload
 * over a Unix socket, with descriptors. Numbers are in the machine's own byte order: both ends are on the
 * same machine. Names are the protocol's own, in their present form (BACKEND, not SLAVE).
 */
#ifndef L4VIO_WIRE_VHOST_USER_H
#define L4VIO_WIRE_VHOST_USER_H

#include <stdint.h>

#define VHOST_USER_HEADER_BYTES 12u /**< Of every message. */
#define VHOST_USER_REGIONS_MAX  8u  /**< Regions in one memory table; descriptors in one message. */
#define VHOST_USER_CONFIG_BYTES 256u /**< Most configuration that one message carries. */

/** Version, in the lower bits of `flags`. */
#define VHOST_USER_VERSION 0x1u
/** Mask of the version. */
#define VHOST_USER_VERSION_MASK 0x3u
/** In `flags`: this is an answer. */
#define VHOST_USER_REPLY 0x4u
/** In `flags`, with REPLY_ACK: the sender wants to know what became of it (a u64, 0 is success). */
#define VHOST_USER_NEED_REPLY 0x8u

/** Feature bits of the protocol's own, among those of VIRTIO. */
enum vhost_user_feature {
    VHOST_F_LOG_ALL = 26,                /**< Log every page written. */
    VHOST_USER_F_PROTOCOL_FEATURES = 30, /**< There are protocol features. */
};

/** Protocol features. */
enum vhost_user_protocol_feature {
    VHOST_USER_PROTOCOL_F_MQ = 0,                       /**< GET_QUEUE_NUM. */
    VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,                /**< SET_LOG_BASE carries a descriptor. */
    VHOST_USER_PROTOCOL_F_RARP = 2,                     /**< SEND_RARP. */
    VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,                /**< NEED_REPLY. */
    VHOST_USER_PROTOCOL_F_NET_MTU = 4,                  /**< NET_SET_MTU. */
    VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,              /**< Channel from back end to front end. */
    VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6,             /**< SET_VRING_ENDIAN. */
    VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 7,           /**< Crypto sessions. */
    VHOST_USER_PROTOCOL_F_PAGEFAULT = 8,                /**< Postcopy migration. */
    VHOST_USER_PROTOCOL_F_CONFIG = 9,                   /**< GET_CONFIG, SET_CONFIG. */
    VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,         /**< The back end may send descriptors. */
    VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11,           /**< Notifiers of the host. */
    VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,          /**< Record of requests in flight. */
    VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,            /**< RESET_DEVICE. */
    VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,    /**< Kicks and calls as messages. */
    VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,     /**< ADD_MEM_REG, REM_MEM_REG. */
    VHOST_USER_PROTOCOL_F_STATUS = 16,                  /**< SET_STATUS, GET_STATUS. */
    VHOST_USER_PROTOCOL_F_XEN_MMAP = 17,                /**< Xen's memory. */
    VHOST_USER_PROTOCOL_F_SHARED_OBJECT = 18,           /**< Shared objects. */
    VHOST_USER_PROTOCOL_F_DEVICE_STATE = 19,            /**< State for migration. */
    VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT = 20, /**< GET_VRING_BASE need not wait. */
};

/** Requests of the front end. */
enum vhost_user_request {
    VHOST_USER_GET_FEATURES = 1,           /**< Reply: u64. */
    VHOST_USER_SET_FEATURES = 2,           /**< u64. */
    VHOST_USER_SET_OWNER = 3,              /**< Nothing. */
    VHOST_USER_RESET_OWNER = 4,            /**< Nothing; deprecated. */
    VHOST_USER_SET_MEM_TABLE = 5,          /**< Memory table, a descriptor per region. */
    VHOST_USER_SET_LOG_BASE = 6,           /**< Log description, a descriptor; replied to. */
    VHOST_USER_SET_LOG_FD = 7,             /**< A descriptor. */
    VHOST_USER_SET_VRING_NUM = 8,          /**< Ring state: size. */
    VHOST_USER_SET_VRING_ADDR = 9,         /**< Ring addresses. */
    VHOST_USER_SET_VRING_BASE = 10,        /**< Ring state: position. */
    VHOST_USER_GET_VRING_BASE = 11,        /**< Ring state; reply: position. Stops the ring. */
    VHOST_USER_SET_VRING_KICK = 12,        /**< u64: index, NOFD; a descriptor. */
    VHOST_USER_SET_VRING_CALL = 13,        /**< u64: index, NOFD; a descriptor. */
    VHOST_USER_SET_VRING_ERR = 14,         /**< u64: index, NOFD; a descriptor. */
    VHOST_USER_GET_PROTOCOL_FEATURES = 15, /**< Reply: u64. */
    VHOST_USER_SET_PROTOCOL_FEATURES = 16, /**< u64. */
    VHOST_USER_GET_QUEUE_NUM = 17,         /**< Reply: u64. */
    VHOST_USER_SET_VRING_ENABLE = 18,      /**< Ring state: 0 or 1. */
    VHOST_USER_SEND_RARP = 19,             /**< u64. */
    VHOST_USER_NET_SET_MTU = 20,           /**< u64. */
    VHOST_USER_SET_BACKEND_REQ_FD = 21,    /**< A socket. */
    VHOST_USER_IOTLB_MSG = 22,             /**< Translations. */
    VHOST_USER_SET_VRING_ENDIAN = 23,      /**< Ring state. */
    VHOST_USER_GET_CONFIG = 24,            /**< Configuration; reply the same, size 0: refused. */
    VHOST_USER_SET_CONFIG = 25,            /**< Configuration. */
    VHOST_USER_CREATE_CRYPTO_SESSION = 26, /**< Crypto. */
    VHOST_USER_CLOSE_CRYPTO_SESSION = 27,  /**< Crypto. */
    VHOST_USER_POSTCOPY_ADVISE = 28,       /**< Postcopy. */
    VHOST_USER_POSTCOPY_LISTEN = 29,       /**< Postcopy. */
    VHOST_USER_POSTCOPY_END = 30,          /**< Postcopy. */
    VHOST_USER_GET_INFLIGHT_FD = 31,       /**< In-flight description; reply with a descriptor. */
    VHOST_USER_SET_INFLIGHT_FD = 32,       /**< In-flight description, a descriptor. */
    VHOST_USER_GPU_SET_SOCKET = 33,        /**< A socket. */
    VHOST_USER_RESET_DEVICE = 34,          /**< Nothing. */
    VHOST_USER_VRING_KICK = 35,            /**< Ring state: in-band kick. */
    VHOST_USER_GET_MAX_MEM_SLOTS = 36,     /**< Reply: u64. */
    VHOST_USER_ADD_MEM_REG = 37,           /**< Single region, a descriptor. */
    VHOST_USER_REM_MEM_REG = 38,           /**< Single region. */
    VHOST_USER_SET_STATUS = 39,            /**< u64. */
    VHOST_USER_GET_STATUS = 40,            /**< Reply: u64. */
    VHOST_USER_GET_SHARED_OBJECT = 41,     /**< Shared objects. */
    VHOST_USER_SET_DEVICE_STATE_FD = 42,   /**< Device state. */
    VHOST_USER_CHECK_DEVICE_STATE = 43,    /**< Device state. */
};

/** Requests of the back end, over the channel of SET_BACKEND_REQ_FD. */
enum vhost_user_backend_request {
    VHOST_USER_BACKEND_IOTLB_MSG = 1,               /**< A translation is missing. */
    VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,       /**< The configuration has changed. */
    VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG = 3, /**< Ring area, a descriptor. */
    VHOST_USER_BACKEND_VRING_CALL = 4,              /**< In-band call. */
    VHOST_USER_BACKEND_VRING_ERR = 5,               /**< In-band error. */
    VHOST_USER_BACKEND_SHARED_OBJECT_ADD = 6,       /**< Shared objects. */
    VHOST_USER_BACKEND_SHARED_OBJECT_REMOVE = 7,    /**< Shared objects. */
    VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP = 8,    /**< Shared objects. */
};

/** First bytes of every message. */
struct vhost_user_header {
    uint32_t request; /**< enum vhost_user_request or vhost_user_backend_request. */
    uint32_t flags;   /**< Version, REPLY, NEED_REPLY. */
    uint32_t size;    /**< Bytes of payload that follow. */
};

/** In the u64 of SET_VRING_KICK, _CALL, _ERR: the index. */
#define VHOST_USER_VRING_INDEX_MASK 0xffu
/** In the u64 of SET_VRING_KICK, _CALL, _ERR: there is no descriptor. */
#define VHOST_USER_VRING_NOFD 0x100u

/** State of a ring. Position of a packed one: bits 0-14 avail, 15 its wrap counter, 16-30 used, 31. */
struct vhost_user_vring_state {
    uint32_t index; /**< Ring. */
    uint32_t num;   /**< Size, position, or 0 and 1. */
};

/** In `flags` of struct vhost_user_vring_addr: writes to the used ring are logged. */
#define VHOST_VRING_F_LOG 0x1u

/** Where a ring is, by user addresses. */
struct vhost_user_vring_addr {
    uint32_t index;           /**< Ring. */
    uint32_t flags;           /**< VHOST_VRING_F_LOG. */
    uint64_t desc_user_addr;  /**< Descriptor area. */
    uint64_t used_user_addr;  /**< Device area. */
    uint64_t avail_user_addr; /**< Driver area. */
    uint64_t log_guest_addr;  /**< Of the used ring, in the log. */
};

/** A region of the driver's memory. */
struct vhost_user_memory_region {
    uint64_t guest_phys_addr; /**< Device address. */
    uint64_t memory_size;     /**< Bytes. */
    uint64_t userspace_addr;  /**< User address. */
    uint64_t mmap_offset;     /**< Where it begins in the descriptor. */
};

/** All regions. The payload ends with the last one that is there. */
struct vhost_user_memory {
    uint32_t nregions;                                               /**< At most 8. */
    uint32_t padding;                                                /**< 0. */
    struct vhost_user_memory_region regions[VHOST_USER_REGIONS_MAX]; /**< Regions. */
};

/** One region. */
struct vhost_user_single_memory_region {
    uint64_t padding;                       /**< 0. */
    struct vhost_user_memory_region region; /**< Region. */
};

/** The log of pages written. */
struct vhost_user_log {
    uint64_t mmap_size;   /**< Bytes. */
    uint64_t mmap_offset; /**< Where it begins in the descriptor. */
};

/** In `flags` of struct vhost_user_config: for migration, read-only fields too. */
#define VHOST_USER_CONFIG_FLAG_MIGRATION 0x1u

/** Device configuration. The payload ends with the last byte that is there. */
struct vhost_user_config {
    uint32_t offset;                          /**< First byte. */
    uint32_t size;                            /**< Bytes. */
    uint32_t flags;                           /**< 0: fields that the driver may write. */
    uint8_t payload[VHOST_USER_CONFIG_BYTES]; /**< Content. */
};

/** First bytes of struct vhost_user_config. */
#define VHOST_USER_CONFIG_HEADER_BYTES 12u

/** The record of requests in flight. */
struct vhost_user_inflight {
    uint64_t mmap_size;   /**< Bytes. */
    uint64_t mmap_offset; /**< Where it begins in the descriptor. */
    uint16_t num_queues;  /**< Queues. */
    uint16_t queue_size;  /**< Entries of each. */
    uint32_t padding;     /**< 0. */
};

/**
 * Least bytes of struct vhost_user_inflight on the wire: without the padding at its end. On 64-bit machines
 * the others send the padding too, and refuse a message without it.
 */
#define VHOST_USER_INFLIGHT_BYTES_MIN 20u
/** Bytes of it as all 64-bit machines send it. */
#define VHOST_USER_INFLIGHT_BYTES 24u

#endif
