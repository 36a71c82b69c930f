/* SPDX-License-Identifier: MIT */
/*
 * The thread that listens to what the back end says without being asked: requests over its channel, and
 * errors of rings. It waits for nothing else, so a back end that wants an answer before it goes on with a
 * message of ours gets it.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <l4vio/wire/status.h>

#include "platforms/linux/eventfd.h"
#include "platforms/linux/linux.h"
#include "transports/vhost_user/frontend.h"

/* Requests of the back end that are heard before anything else gets its turn. */
#define REQUESTS_PER_TURN 64
/* Between two tries to get a turn for a question of our own. */
#define TURN_PAUSE_NS UINT64_C(5000000)

enum question { NO_QUESTION, TO_BE_ASKED, ASKED };

struct watch {
    struct l4vio_vhost_user *frontend;
    struct l4vio_vhost_reader reader; /* Of the channel. */
    enum question question;           /* After the status: does the device need a reset? */
    uint64_t deadline_ns;             /* For the answer. */
    uint32_t resets;                  /* As many as there were when it was asked. */
};

static void trigger(struct l4vio_vhost_user *frontend, uint32_t index)
{
    const struct l4vio_platform *platform = &frontend->platform;
    const struct l4vio_notification notification = {.handle = frontend->bound[index]};

    if (notification.handle != L4VIO_NO_HANDLE)
        platform->ops->notification_trigger(platform->self, &notification);
}

/* With the lock. Whoever waits for completions hears that there will be none. */
static void fail_device(struct l4vio_vhost_user *frontend)
{
    atomic_store(&frontend->needs_reset, true);
    for (uint32_t i = 0; i <= frontend->info.queue_count; i++)
        trigger(frontend, i);
}

static void hear_errors(struct l4vio_vhost_user *frontend)
{
    pthread_mutex_lock(&frontend->lock);
    if (l4vio_eventfd_drain(frontend->err_fd))
        fail_device(frontend);
    pthread_mutex_unlock(&frontend->lock);
}

static void config_changed(struct watch *watch)
{
    struct l4vio_vhost_user *frontend = watch->frontend;

    atomic_fetch_add(&frontend->generation, 1);
    pthread_mutex_lock(&frontend->lock);
    trigger(frontend, frontend->config_index);
    pthread_mutex_unlock(&frontend->lock);
    /* The same message tells of a status that has changed. */
    if (watch->question == NO_QUESTION &&
        l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_STATUS))
        watch->question = TO_BE_ASKED;
}

static void close_channel(struct watch *watch)
{
    l4vio_vhost_reader_drop(&watch->reader);
    if (watch->frontend->channel_fd >= 0)
        l4vio_socket_hang_up(watch->frontend->channel_fd);
    watch->frontend->channel_fd = -1;
}

/* Whether the channel is still good. What we do not know is refused. */
static bool answer(struct watch *watch, const struct l4vio_vhost_message *request)
{
    struct l4vio_vhost_user *frontend = watch->frontend;
    const struct vhost_user_header *header = &request->header;
    bool known = header->request == VHOST_USER_BACKEND_CONFIG_CHANGE_MSG && header->size == 0 &&
                 request->fds.count == 0 && !request->fds.surplus;

    if (header->flags & VHOST_USER_REPLY)
        return false;
    if (known)
        config_changed(watch);
    if (!(header->flags & VHOST_USER_NEED_REPLY) ||
        !l4vio_frontend_has(frontend, VHOST_USER_PROTOCOL_F_REPLY_ACK))
        return true;
    struct l4vio_vhost_message reply = l4vio_frontend_number(header->request, known ? 0 : 1);
    reply.header.flags |= VHOST_USER_REPLY;
    /* Who does not take his answers gets no more of them. */
    return l4vio_vhost_send(frontend->channel_fd, &reply) == L4VIO_OK;
}

static void hear_channel(struct watch *watch)
{
    for (unsigned i = 0; i < REQUESTS_PER_TURN; i++) {
        int result = l4vio_vhost_receive(watch->frontend->channel_fd, &watch->reader);
        if (result == L4VIO_EAGAIN)
            return;
        if (result < 0 || !answer(watch, &watch->reader.message)) {
            close_channel(watch);
            return;
        }
        l4vio_socket_close_fds(&watch->reader.message.fds);
    }
}

static void ask(struct watch *watch)
{
    struct l4vio_vhost_user *frontend = watch->frontend;

    pthread_mutex_lock(&frontend->lock);
    watch->resets = frontend->resets;
    pthread_mutex_unlock(&frontend->lock);
    int result = l4vio_frontend_try_request(frontend, VHOST_USER_GET_STATUS);
    if (result == L4VIO_EAGAIN)
        return;
    watch->question = result == L4VIO_OK ? ASKED : NO_QUESTION;
    watch->deadline_ns = l4vio_frontend_deadline(frontend);
}

static void hear_answer(struct watch *watch)
{
    struct l4vio_vhost_user *frontend = watch->frontend;
    uint64_t status = 0;
    int result = l4vio_frontend_try_reply(frontend, VHOST_USER_GET_STATUS, &status);

    if (result == L4VIO_EAGAIN)
        return;
    watch->question = NO_QUESTION;
    if (result < 0 || !(status & VIRTIO_STATUS_NEEDS_RESET))
        return;
    pthread_mutex_lock(&frontend->lock);
    if (frontend->resets == watch->resets)
        fail_device(frontend);
    pthread_mutex_unlock(&frontend->lock);
}

static void out_of_time(struct watch *watch)
{
    if (watch->question != ASKED || l4vio_linux_deadline(0) < watch->deadline_ns)
        return;
    /* From now on reading says that there is nothing to come, which ends the turn. */
    l4vio_frontend_give_up(watch->frontend, L4VIO_ETIMEDOUT, "", VHOST_USER_GET_STATUS, NULL);
    watch->deadline_ns = L4VIO_FOREVER;
}

static uint64_t next_deadline(const struct watch *watch)
{
    if (watch->question == TO_BE_ASKED)
        return l4vio_linux_deadline(TURN_PAUSE_NS);
    return watch->question == ASKED ? watch->deadline_ns : L4VIO_FOREVER;
}

static void *run(void *self)
{
    struct watch watch = {.frontend = self};
    struct l4vio_vhost_user *frontend = self;

    for (;;) {
        if (watch.question == TO_BE_ASKED)
            ask(&watch);
        int socket = watch.question == ASKED ? atomic_load(&frontend->socket) : -1;
        struct pollfd fds[] = {
            {.fd = frontend->stop_fd, .events = POLLIN},
            {.fd = frontend->err_fd, .events = POLLIN},
            {.fd = frontend->channel_fd, .events = POLLIN},
            {.fd = socket, .events = POLLIN},
        };
        struct timespec storage;
        ppoll(fds, 4, l4vio_linux_timeout(next_deadline(&watch), &storage), NULL);
        if (fds[0].revents)
            break;
        if (fds[1].revents)
            hear_errors(frontend);
        if (fds[2].revents)
            hear_channel(&watch);
        if (fds[3].revents)
            hear_answer(&watch);
        out_of_time(&watch);
    }
    if (watch.question == ASKED)
        l4vio_turn_end(&frontend->turn);
    close_channel(&watch);
    return NULL;
}

/* Signals are the program's business, not this thread's. */
static int start_thread(struct l4vio_vhost_user *frontend)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&frontend->watcher, NULL, run, frontend);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int l4vio_frontend_start_watching(struct l4vio_vhost_user *frontend, int *channel,
                                  struct l4vio_error *error)
{
    int pair[2] = {-1, -1};

    frontend->stop_fd = l4vio_eventfd_create();
    frontend->err_fd = l4vio_eventfd_create();
    /* Back ends wait for their answers: their end has to be one that blocks. */
    bool made = frontend->stop_fd >= 0 && frontend->err_fd >= 0 &&
                (!channel || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    frontend->channel_fd = pair[0];
    int code = made ? start_thread(frontend) : errno;
    if (code) {
        close_fd(&pair[1]);
        close_fd(&frontend->channel_fd);
        close_fd(&frontend->stop_fd);
        close_fd(&frontend->err_fd);
        return l4vio_fail(error, L4VIO_ENOMEM, "descriptors or threads have run out",
                          (uint64_t)code);
    }
    frontend->watching = true;
    if (channel)
        *channel = pair[1];
    return L4VIO_OK;
}

void l4vio_frontend_stop_watching(struct l4vio_vhost_user *frontend)
{
    const struct l4vio_platform *platform = &frontend->platform;
    const struct l4vio_notification stop = {.handle = frontend->stop_fd};

    if (!frontend->watching)
        return;
    platform->ops->notification_trigger(platform->self, &stop);
    pthread_join(frontend->watcher, NULL);
    frontend->watching = false;
    close_fd(&frontend->stop_fd);
    close_fd(&frontend->err_fd);
}
