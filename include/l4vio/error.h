/* SPDX-License-Identifier: MIT */
/**
 * @file error.h
 * Error codes and the error out-parameter.
 *
 * Every call that can fail returns 0 (or a count) on success and one of the negative codes below on
 * failure. The numbers are those of L4 (`l4/sys/err.h`), which for most names are also those of
 * Linux; the three that L4 lacks (timed out, peer gone, cancelled) use the Linux numbers. The
 * numbers are part of the ABI and of the l4 wire protocol.
 */
#ifndef L4VIO_ERROR_H
#define L4VIO_ERROR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Error codes. All are negative; 0 is success. */
enum l4vio_error_code {
    L4VIO_OK = 0,          /**< Success. */
    L4VIO_EPERM = -1,      /**< The peer refused this user. */
    L4VIO_ENOENT = -2,     /**< No such object. */
    L4VIO_EIO = -5,        /**< The device failed, or reported an I/O error. */
    L4VIO_E2BIG = -7,      /**< More than fits: a chain longer than the queue, a table too large. */
    L4VIO_EAGAIN = -11,    /**< No room now; wait for room and try again. */
    L4VIO_ENOMEM = -12,    /**< Memory, table slots or device addresses are used up. */
    L4VIO_EACCES = -13,    /**< Access denied by the operating system. */
    L4VIO_EFAULT = -14,    /**< An address or range outside registered memory. */
    L4VIO_EBUSY = -16,     /**< Still in use: a device may own it. */
    L4VIO_EEXIST = -17,    /**< The notification index is not managed by the driver. */
    L4VIO_ENODEV = -19,    /**< Not a device of the expected kind, or a legacy one. */
    L4VIO_EINVAL = -22,    /**< An argument is not valid, or features were refused. */
    L4VIO_ENOSPC = -28,    /**< The backing store is full. */
    L4VIO_EROFS = -30,     /**< The device is read-only. */
    L4VIO_EPIPE = -32,     /**< The peer is gone. */
    L4VIO_ERANGE = -34,    /**< An index or offset is out of range. */
    L4VIO_ENOSYS = -38,    /**< The peer does not implement this. */
    L4VIO_EBADPROTO = -39, /**< The peer broke the protocol; a queue is broken from then on. */
    L4VIO_ETIMEDOUT = -110, /**< The deadline passed. Nothing was taken back: see driver.h. */
    L4VIO_ECANCELED = -125, /**< The request was taken back by a reset before it completed. */
};

/**
 * What went wrong, filled by a failing call when the caller passes one.
 *
 * `text` is a static string in English without a value in it and is never freed; `value` is the
 * number that the text speaks of (an index, a size, a status byte), 0 if there is none. Successful
 * calls leave it alone.
 */
struct l4vio_error {
    int code;         /**< The code that the call returned. */
    const char *text; /**< What was wrong, as a static string. */
    uint64_t value;   /**< The value that was wrong. */
};

/**
 * Fills an error and returns its code: `return l4vio_fail(error, L4VIO_EINVAL, "...", size);`
 *
 * @param error where to put it, may be NULL
 * @param code  one of enum l4vio_error_code
 * @param text  static string
 * @param value the value that the text speaks of
 * @return `code`
 */
static inline int l4vio_fail(struct l4vio_error *error, int code, const char *text, uint64_t value)
{
    if (error) {
        error->code = code;
        error->text = text;
        error->value = value;
    }
    return code;
}

/**
 * Name of an error code, for logs: "EINVAL".
 *
 * @param code one of enum l4vio_error_code
 * @return static string, "unknown" for other numbers
 */
const char *l4vio_error_name(int code);

#ifdef __cplusplus
}
#endif
#endif
