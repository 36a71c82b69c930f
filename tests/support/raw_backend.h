/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user back end written from the protocol, in a thread of its own, which may do what no back end may:
 * a script sees every message first, and may answer anything, nothing, or hang up. What the front end sent
 * is recorded. Numbers are the protocol's, not the library's names for them.
 *
 * The offer is to be changed before raw_backend_start, or under raw_backend_lock. What the thread knows is
 * looked at by raw_backend_look, by scripts directly.
 */
#ifndef RAW_BACKEND_H
#define RAW_BACKEND_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum raw_request {
    RAW_GET_FEATURES = 1,
    RAW_SET_FEATURES = 2,
    RAW_SET_OWNER = 3,
    RAW_SET_MEM_TABLE = 5,
    RAW_SET_VRING_NUM = 8,
    RAW_SET_VRING_ADDR = 9,
    RAW_SET_VRING_BASE = 10,
    RAW_GET_VRING_BASE = 11,
    RAW_SET_VRING_KICK = 12,
    RAW_SET_VRING_CALL = 13,
    RAW_SET_VRING_ERR = 14,
    RAW_GET_PROTOCOL_FEATURES = 15,
    RAW_SET_PROTOCOL_FEATURES = 16,
    RAW_GET_QUEUE_NUM = 17,
    RAW_SET_VRING_ENABLE = 18,
    RAW_SET_BACKEND_REQ_FD = 21,
    RAW_GET_CONFIG = 24,
    RAW_SET_CONFIG = 25,
    RAW_GET_INFLIGHT_FD = 31,
    RAW_SET_INFLIGHT_FD = 32,
    RAW_RESET_DEVICE = 34,
    RAW_GET_MAX_MEM_SLOTS = 36,
    RAW_ADD_MEM_REG = 37,
    RAW_REM_MEM_REG = 38,
    RAW_SET_STATUS = 39,
    RAW_GET_STATUS = 40,
};

/* Protocol features. */
#define RAW_P_MQ        (UINT64_C(1) << 0)
#define RAW_P_REPLY_ACK (UINT64_C(1) << 3)
#define RAW_P_CHANNEL   (UINT64_C(1) << 5)
#define RAW_P_CONFIG    (UINT64_C(1) << 9)
#define RAW_P_INFLIGHT  (UINT64_C(1) << 12)
#define RAW_P_RESET     (UINT64_C(1) << 13)
#define RAW_P_SLOTS     (UINT64_C(1) << 15)
#define RAW_P_STATUS    (UINT64_C(1) << 16)
#define RAW_P_ALL                                                                               \
    (RAW_P_MQ | RAW_P_REPLY_ACK | RAW_P_CHANNEL | RAW_P_CONFIG | RAW_P_INFLIGHT | RAW_P_RESET | \
     RAW_P_SLOTS | RAW_P_STATUS)

#define RAW_FLAG_REPLY      0x4u
#define RAW_FLAG_NEED_REPLY 0x8u

#define RAW_BACKEND_QUEUES   4u
#define RAW_BACKEND_REGIONS  16u
#define RAW_BACKEND_LOG      1024u
#define RAW_MESSAGE_BYTES    4096u
#define RAW_MESSAGE_FDS      16u
#define RAW_LOGGED_BYTES     272u
#define RAW_BACKEND_NO_LIMIT (-1)

/* A message, as it came or as it is to go. */
struct raw_message {
    uint32_t request;
    uint32_t flags;
    uint32_t size;
    union {
        uint64_t words[RAW_MESSAGE_BYTES / 8];
        uint32_t halves[RAW_MESSAGE_BYTES / 4];
        unsigned char bytes[RAW_MESSAGE_BYTES];
    } u;
    int fds[RAW_MESSAGE_FDS];
    unsigned fd_count;
};

/* What came, for looking at it later. */
struct raw_record {
    uint32_t request;
    uint32_t flags;
    uint32_t size;
    unsigned fd_count;
    union {
        uint64_t words[RAW_LOGGED_BYTES / 8];
        uint32_t halves[RAW_LOGGED_BYTES / 4];
        unsigned char bytes[RAW_LOGGED_BYTES];
    } u;
};

struct raw_backend_ring {
    uint32_t size;
    uint32_t position; /* By SET_VRING_BASE, and what GET_VRING_BASE says. */
    uint64_t desc, used, avail;
    int kick, call, err; /* -1: none. */
    bool started;        /* There was a kick descriptor, and no GET_VRING_BASE since. */
    bool enabled;
};

struct raw_backend_region {
    uint64_t guest, bytes, user, offset;
    unsigned char *base; /* Mapped here. */
    size_t mapped_bytes;
};

/* What it has been told. */
struct raw_backend_state {
    int socket;  /* -1: nobody is connected. */
    int channel; /* Of SET_BACKEND_REQ_FD, -1. */
    unsigned connections;
    unsigned received; /* On this connection. */
    unsigned logged;   /* Messages in `log`. */
    uint64_t accepted;
    uint64_t protocol_accepted;
    uint64_t status;
    unsigned resets;
    bool owned;
    struct raw_backend_ring rings[RAW_BACKEND_QUEUES];
    struct raw_backend_region regions[RAW_BACKEND_REGIONS];
    unsigned region_count;
    int inflight; /* A memfd that GET_INFLIGHT_FD made, or that SET_INFLIGHT_FD brought; -1. */
    unsigned inflight_gets, inflight_sets;
};

struct raw_backend;

/* What becomes of a message that the script has seen. */
enum raw_verdict {
    RAW_DEFAULT, /* Carry it out and answer as the protocol says. */
    RAW_REFUSE,  /* Carry it out not, and say so if an answer is wanted. */
    RAW_SILENT,  /* Neither carry it out nor answer. */
    RAW_DONE,    /* The script has answered. */
    RAW_HANG_UP, /* Close the connection. */
};

struct raw_backend {
    char folder[64];
    char path[96];

    /* Offer. */
    uint64_t features;          /* With bit 30; no packed rings. */
    uint64_t protocol_features; /* RAW_P_ALL but INFLIGHT. */
    uint64_t queue_num;         /* RAW_BACKEND_QUEUES. */
    uint64_t memory_slots;      /* RAW_BACKEND_REGIONS. */
    uint32_t config_bytes;      /* Asked for more, it refuses. */
    unsigned char config[256];
    /* Called in the thread. */
    enum raw_verdict (*script)(struct raw_backend *backend, struct raw_message *message);
    void *script_self;
    int hang_up_after; /* Close instead of looking at message number n (from 0); RAW_BACKEND_NO_LIMIT. */

    struct raw_backend_state state; /* Belongs to the thread: see raw_backend_look. */

    /* Its own. */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    bool running;
    int listener; /* -1: it connects. */
    int stop;     /* Eventfd. */
    struct raw_record log[RAW_BACKEND_LOG];
};

/* A back end with an offer that may be changed; nothing runs yet. */
struct raw_backend *raw_backend_new(void);
/* Listens at `path`, and serves one connection after the other. */
void raw_backend_start(struct raw_backend *backend);
/* Connects to `path`, where a front end listens or will listen, and serves that connection. */
void raw_backend_start_connecting(struct raw_backend *backend);
/* Hangs up and goes away, with its socket; its offer and record stay. May be started again. */
void raw_backend_stop(struct raw_backend *backend);
void raw_backend_free(struct raw_backend *backend);

void raw_backend_lock(struct raw_backend *backend);
void raw_backend_unlock(struct raw_backend *backend);
/* What it has been told by now. */
struct raw_backend_state raw_backend_look(struct raw_backend *backend);

/* How many messages of a kind came; the nth of them (from 0), or NULL. */
unsigned raw_backend_count(struct raw_backend *backend, uint32_t request);
const struct raw_record *raw_backend_find(struct raw_backend *backend, uint32_t request,
                                          unsigned nth);
/* Waits until so many of a kind have come (and been carried out); false after 5 s. */
bool raw_backend_await(struct raw_backend *backend, uint32_t request, unsigned count);
/* Waits until nobody is connected; false after 5 s. */
bool raw_backend_await_end(struct raw_backend *backend);
/* Forgets what was recorded. */
void raw_backend_clear_log(struct raw_backend *backend);

/* Where memory of the driver's is mapped here, or NULL. By guest address (descriptors) or user address. */
void *raw_backend_memory(struct raw_backend *backend, uint64_t address, uint64_t bytes);
void *raw_backend_user_memory(struct raw_backend *backend, uint64_t address, uint64_t bytes);

/* Sends bytes, whatever they are, over the connection or over the channel. */
bool raw_backend_send_bytes(int socket, const void *bytes, size_t size, const int *fds,
                            unsigned count);
/* Sends a message as it is. */
bool raw_backend_send(int socket, const struct raw_message *message);
/* The answer to a message: its request, version and REPLY, a payload. */
bool raw_backend_reply(struct raw_backend *backend, const struct raw_message *message,
                       const void *payload, uint32_t size);
bool raw_backend_reply_number(struct raw_backend *backend, const struct raw_message *message,
                              uint64_t number);
/* Receives a message, waiting up to 5 s; false at the end. Its descriptors are the caller's. */
bool raw_backend_receive(int socket, struct raw_message *message);
void raw_message_close_fds(struct raw_message *message);
/* The channel's descriptor, once it is there; -1 after 5 s. */
int raw_backend_channel(struct raw_backend *backend);

#endif
