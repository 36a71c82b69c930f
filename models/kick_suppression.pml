/* SPDX-License-Identifier: MIT */
/*
 * Kick suppression by flag: the driver publishes and then reads the device's flag; the device sets
 * its flag and then reads the index. A device that sleeps with a request in the ring, and a driver
 * that saw no reason to kick, is a lost kick (B4): spin reports it as an invalid end state.
 *
 * Spin is sequentially consistent, a machine is not: stores go through a buffer per side, which the
 * memory process empties in order at any later time. A full barrier waits until one's own buffer is
 * empty. The other direction, driver armed and device notifying (B6, S6), is this with the names
 * exchanged; so both barriers have an option.
 *
 * run: holds -DDRIVER_BARRIER -DDEVICE_BARRIER
 * run: fails -DDEVICE_BARRIER
 * run: fails -DDRIVER_BARRIER
 */
#define REQUESTS 3

byte avail_index; /* In memory; the driver's own copy is `index`. */
bit no_notify;    /* In memory: the device wants no kicks. */
bit kicked;       /* A notification: sticky until it is taken, as an eventfd is. */

chan driver_stores = [REQUESTS] of { byte };
chan device_stores = [2] of { bit };

active proctype memory()
{
    byte index;
    bit flag;
end:
    do
    :: driver_stores?index -> avail_index = index
    :: device_stores?flag -> no_notify = flag
    od
}

active proctype driver()
{
    byte index;
    do
    :: index < REQUESTS ->
        index++;
        driver_stores!index;
#ifdef DRIVER_BARRIER
        empty(driver_stores);
#endif
        if
        :: no_notify
        :: else -> kicked = 1
        fi
    :: else -> break
    od
}

active proctype device()
{
    byte seen;
    do
    :: seen == REQUESTS -> break
    :: seen < REQUESTS && avail_index != seen -> seen++
    :: seen < REQUESTS && avail_index == seen ->
        device_stores!0;
#ifdef DEVICE_BARRIER
        empty(device_stores);
#endif
        if
        :: avail_index != seen
        :: else -> kicked; kicked = 0 /* Sleeps. */
        fi;
        device_stores!1
    od
}
