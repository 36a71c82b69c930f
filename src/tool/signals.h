/* SPDX-License-Identifier: MIT */
/* SIGINT, SIGTERM, SIGHUP end the work cleanly; a second one ends the process at once. */
#ifndef L4VIO_TOOL_SIGNALS_H
#define L4VIO_TOOL_SIGNALS_H

#include <l4vio/server.h>

/* Installs the handlers; broken pipes become errors of write. */
void signals_install(void);

/* The signal that asks for the end, or 0. */
int signals_pending(void);

/* What a signal also has to do: stop this server; NULL: nothing. `path` is removed if the process is
 * ended at once. Both must outlive the registration. */
void signals_stop_server(struct l4vio_server *server, const char *path);

/* Between these two the first signal ends the process at once, and removes `path` if it is not NULL. */
void signals_begin_opening(const char *path);
void signals_end_opening(void);

#endif
