/* SPDX-License-Identifier: MIT */
/*
 * The server from inside.
 *
 * One thread, the main one, accepts clients, reads what they say and changes their devices. Queues are
 * served by workers: one that runs in the main thread, or one thread per queue index. A worker works
 * under its lock, one bounded turn at a time; every control operation takes the locks of all workers
 * (always in the same order), so it has the device to itself. Nothing sleeps with a lock held.
 *
 * A control operation that needs the service to have let go of a client's memory (reset, end of the
 * client) or of one queue's is put off: the client's queues, or that one, take nothing more, completions
 * come in as usual, and the operation runs once nothing is in flight. Other queues and clients are served
 * all the while.
 *
 * What clients say is the business of a protocol.
 */
#ifndef L4VIO_TRANSPORTS_SERVER_H
#define L4VIO_TRANSPORTS_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <l4vio/linux.h>
#include <l4vio/server.h>

#include "platforms/linux/local_socket.h"

#define L4VIO_SERVER_QUEUES_MAX 64u
#define L4VIO_SERVER_ALL_QUEUES UINT32_MAX

/* Where an epoll event comes from: 32 bits of generation, 16 of slot, 16 of source. */
#define L4VIO_SERVER_SLOT 0xffffu /* The server's own descriptors. */
#define L4VIO_SOURCE_SOCKET \
    0xffffu /* A client's socket; smaller numbers are the protocol's, queues first. */

enum l4vio_server_source {
    L4VIO_SOURCE_LISTEN,
    L4VIO_SOURCE_STOP,
    L4VIO_SOURCE_WAKE,
    L4VIO_SOURCE_SERVICE,
};

struct l4vio_event {
    uint32_t generation;
    uint16_t slot;
    uint16_t source;
};

struct l4vio_served_client;

/* One queue of one client, as its worker sees it. */
struct l4vio_served_queue {
    struct l4vio_served_client *client;
    uint32_t index;
    bool active;                     /* In the worker's list. */
    bool due;                        /* To be processed, whatever the ring says. */
    bool spinning;                   /* The ring is empty and kicks are not asked for yet. */
    bool off;                        /* The protocol wants nothing to be taken. */
    uint64_t spin_span_ns;           /* How long to go on so. */
    uint64_t spin_start_ns;          /* 0: the clock was not read yet. */
    uint64_t spin_now_ns;            /* When it was read last. */
    struct l4vio_spin spin;          /* What was learnt. */
    struct l4vio_served_queue *next; /* Worker's list. */
};

/* Serves the queues `first` to `end` - 1 of every client. */
struct l4vio_worker {
    struct l4vio_server *server;
    uint32_t first, end;
    int epoll;     /* The server's own if the main thread is the worker. */
    int wake;      /* Eventfd, -1 in the main thread. */
    void *context; /* The service's. */
    bool context_open;
    int service_fd; /* Readable when the service has something, or -1. */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t free;              /* The main thread no longer wants the lock. */
    atomic_bool wanted;               /* It does. */
    struct l4vio_served_queue *head;  /* Queues that may have work, in turn. */
    struct l4vio_served_queue **tail; /* Where to append. */
};

/* Nothing said yet; heard; gone, but for what is in flight. */
enum l4vio_client_state { L4VIO_CLIENT_HELLO, L4VIO_CLIENT_READY, L4VIO_CLIENT_ENDING };

/* One connection. */
struct l4vio_served_client {
    struct l4vio_server *server;
    uint16_t slot;
    uint32_t generation;
    int socket;  /* -1: closed. */
    bool polled; /* The socket is in the main epoll set. */
    uid_t uid;
    pid_t pid;
    enum l4vio_client_state state;
    uint64_t deadline_ns;    /* Of the first thing to say. */
    bool stopping;           /* Queues take nothing more until nothing is in flight. */
    uint32_t stopping_queue; /* This one, or L4VIO_SERVER_ALL_QUEUES. */
    bool put_off;            /* The main thread waits to be told that nothing is in flight. */
    void *own;               /* The protocol's. */

    void *instance;              /* The service's. */
    struct l4vio_device *device; /* Part of it; NULL: the service has made none. */
    bool device_made;            /* Complete, with what the protocol adds. */
    uint64_t failures_told;      /* Device failures that were logged. */
    struct l4vio_device_region *regions;
    struct l4vio_served_queue *queues;
};

/* Memory of a file that a client shares and may cut short at any time. The atomics are for the handler of
 * a fault; they change only while nobody touches the memory. */
struct l4vio_mapping {
    atomic_uintptr_t base; /* Of the first page; 0: this one is free. */
    atomic_size_t bytes;
    atomic_bool lost; /* A fault was caught: what lies there now is nobody's. */
    struct l4vio_served_client *client;
};

/* What clients speak. All in the main thread. */
struct l4vio_server_protocol {
    int socket_type;           /* SOCK_SEQPACKET, SOCK_STREAM. */
    size_t client_bytes;       /* Of `own`, zeroed. */
    bool has_cmd_mode;         /* `look` is called by the clock, too. */
    bool can_connect;          /* To clients that listen. */
    bool waits_outside;        /* Who finds no room is not refused, but waits to be accepted. */
    unsigned clients;          /* At once, where the program does not say. */
    unsigned hello_timeout_ms; /* Likewise. */
    unsigned mappings;         /* l4vio_client_map: besides one per region; 0: none at all. */

    /* A client has come; it has no device yet. */
    void (*begin)(struct l4vio_served_client *client);
    /* With control: the service has made the device; adds port and notifications. On failure `forget`
     * and `end` follow sooner or later. */
    int (*make)(struct l4vio_served_client *client, struct l4vio_error *error);
    /* Called by the device for memory that the client takes back. */
    void (*release_region)(void *client, const struct l4vio_device_region *region);

    /* The socket has something: hears a bounded number of messages. The client may be gone then. */
    void (*receive)(struct l4vio_served_client *client);
    /* Something came from a source of the client's, of queues also to their worker. */
    void (*heard)(struct l4vio_served_client *client, uint16_t source);
    /* Has a look at what the client may have written without telling. May be NULL. */
    void (*look)(struct l4vio_served_client *client);
    /* With control: somebody wanted the main thread to look (l4vio_server_signal), perhaps for this
     * client. May be NULL. */
    void (*woken)(struct l4vio_served_client *client);
    /* What was put off by l4vio_client_stop may run: nothing is in flight, and nothing is taken. */
    void (*resume)(struct l4vio_served_client *client);

    /* The connection is over: drops what was put off. */
    void (*abandon)(struct l4vio_served_client *client);
    /* With control: takes its descriptors out of the epoll sets. */
    void (*forget)(struct l4vio_served_client *client);
    /* With control: nothing is left of the device. Closes what is the protocol's. */
    void (*end)(struct l4vio_served_client *client);
    /* Tells somebody who is not let in, as far as the protocol can. */
    void (*refuse)(int socket, int code);
};

struct l4vio_server {
    struct l4vio_server_config config; /* As given, defaults filled in. */
    const struct l4vio_server_protocol *protocol;
    char path[108];
    struct l4vio_local_listener listener; /* Empty: it goes to a client that listens. */
    uint64_t next_connect_ns;             /* When to try again. */
    bool listening;                       /* It is in the epoll set. */
    bool connect_told;                    /* That it did not work was logged. */
    int reserve; /* Given up to refuse a client when descriptors have run out. */
    int epoll;
    int stop; /* Eventfd. */
    int wake; /* Eventfd: a worker wants the main thread to look. */
    struct l4vio_linux *linux_platform;
    struct l4vio_platform platform;
    struct l4vio_served_client **clients; /* Slots. */
    uint32_t next_generation;
    unsigned stopping; /* Clients with an operation put off. */
    unsigned silent;   /* Clients that have not said anything yet. */
    bool ending;       /* l4vio_server_run is about to return. */
    atomic_bool workers_end;
    uint64_t next_look_ns; /* When to look at `cmd` registers again. */
    struct l4vio_worker *workers;
    struct l4vio_mapping *mappings;
    unsigned worker_count;
    unsigned mapping_count;
    pthread_mutex_t log_lock;
    atomic_uint_least64_t accepted, refused, gone, protocol_errors, device_failures;
    atomic_uint client_count;
};

/* socket.c */
int l4vio_server_listen(struct l4vio_server *server, struct l4vio_error *error);
/* Connects to a client that listens: the socket, or -1. */
int l4vio_server_connect(const struct l4vio_server *server);

/* server.c */
void l4vio_server_log(struct l4vio_server *server, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int l4vio_server_watch(int epoll, int fd, uint32_t events, struct l4vio_event event);
struct l4vio_event l4vio_server_event(uint64_t data);
void l4vio_server_signal(int eventfd);

/* worker.c */
int l4vio_workers_start(struct l4vio_server *server, struct l4vio_error *error);
void l4vio_workers_stop(struct l4vio_server *server);
struct l4vio_worker *l4vio_worker_of(struct l4vio_server *server, uint32_t queue);
void l4vio_worker_turn(struct l4vio_worker *worker);
void l4vio_worker_event(struct l4vio_worker *worker, struct l4vio_event event);
void l4vio_worker_activate(struct l4vio_worker *worker, struct l4vio_served_queue *queue);
void l4vio_worker_forget(struct l4vio_worker *worker, const struct l4vio_served_client *client);
/* Around every change of a client's device. */
void l4vio_control_enter(struct l4vio_server *server);
void l4vio_control_leave(struct l4vio_server *server);

/* client.c */
/* Requests of a queue that the service has taken and not finished. */
unsigned l4vio_client_in_flight(const struct l4vio_served_client *client, uint32_t queue);
struct l4vio_served_client *l4vio_client_new(struct l4vio_server *server, int socket);
/* With control. */
int l4vio_client_make_device(struct l4vio_served_client *client, struct l4vio_error *error);
struct l4vio_served_client *l4vio_client_find(const struct l4vio_server *server,
                                              struct l4vio_event event);
/* Where events of a client come from. */
static inline struct l4vio_event l4vio_client_event(const struct l4vio_served_client *client,
                                                    uint16_t source)
{
    return (struct l4vio_event){
        .generation = client->generation, .slot = client->slot, .source = source};
}
/*
 * From now on the client's queues, or one of them, take nothing. Returns whether nothing of them is in
 * flight: the caller calls l4vio_client_resume. Else that is called once it is so.
 */
bool l4vio_client_stop(struct l4vio_served_client *client, uint32_t queue);
/*
 * If nothing is in flight any more of what was stopped: the protocol does what was put off, and the
 * queues go on. A client that was to end is gone then.
 */
void l4vio_client_resume(struct l4vio_served_client *client);
/* Whether a queue takes nothing for that reason. */
static inline bool l4vio_client_stops(const struct l4vio_served_client *client, uint32_t queue)
{
    return client->stopping &&
           (client->stopping_queue == queue || client->stopping_queue == L4VIO_SERVER_ALL_QUEUES);
}
/* With control: lets the workers look at every queue of the client. */
void l4vio_client_activate(struct l4vio_served_client *client);
/* With control: tells of device failures that were not told of yet. */
void l4vio_client_tell_failure(struct l4vio_served_client *client);

/* memory.c */
/*
 * Maps part of a file for a client, which may change its size at any time: faults are told to
 * l4vio_server_memory_fault. `base` is where `offset_bytes` is. What is not memory of this machine is refused.
 */
int l4vio_client_map(struct l4vio_served_client *client, int fd, uint64_t offset_bytes,
                     uint64_t size_bytes, struct l4vio_mapping **out, void **base,
                     struct l4vio_error *error);
/* Whether a descriptor is of such memory, without asking a file system that could keep us waiting. */
int l4vio_server_check_memory(int fd, struct l4vio_error *error);
/* NULL is fine. Nobody touches the memory any more. */
void l4vio_client_unmap(struct l4vio_mapping *mapping);
/* Whether some memory of the client is lost. */
bool l4vio_client_lost_memory(const struct l4vio_served_client *client);

/* loop.c */
/* Ends a connection, at once or when nothing is in flight; `why` is logged. */
void l4vio_client_end(struct l4vio_served_client *client, const char *why);
void l4vio_client_poll(struct l4vio_served_client *client, bool on);
/* A client has said what it had to say first: it has a device, or is refused. */
void l4vio_client_welcome(struct l4vio_served_client *client);

#endif
