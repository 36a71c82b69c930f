/* SPDX-License-Identifier: MIT */
#include <l4vio/error.h>

const char *l4vio_error_name(int code)
{
    switch (code) {
    case L4VIO_OK:
        return "OK";
    case L4VIO_EPERM:
        return "EPERM";
    case L4VIO_ENOENT:
        return "ENOENT";
    case L4VIO_EIO:
        return "EIO";
    case L4VIO_E2BIG:
        return "E2BIG";
    case L4VIO_EAGAIN:
        return "EAGAIN";
    case L4VIO_ENOMEM:
        return "ENOMEM";
    case L4VIO_EACCES:
        return "EACCES";
    case L4VIO_EFAULT:
        return "EFAULT";
    case L4VIO_EBUSY:
        return "EBUSY";
    case L4VIO_EEXIST:
        return "EEXIST";
    case L4VIO_ENODEV:
        return "ENODEV";
    case L4VIO_EINVAL:
        return "EINVAL";
    case L4VIO_ENOSPC:
        return "ENOSPC";
    case L4VIO_EROFS:
        return "EROFS";
    case L4VIO_EPIPE:
        return "EPIPE";
    case L4VIO_ERANGE:
        return "ERANGE";
    case L4VIO_ENOSYS:
        return "ENOSYS";
    case L4VIO_EBADPROTO:
        return "EBADPROTO";
    case L4VIO_ETIMEDOUT:
        return "ETIMEDOUT";
    case L4VIO_ECANCELED:
        return "ECANCELED";
    default:
        return "unknown";
    }
}
