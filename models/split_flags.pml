/* SPDX-License-Identifier: MIT */
/*
 * Split ring without EVENT_IDX: kicks and interrupts are suppressed by one flag each (sections 2.7.7
 * and 2.7.10). Driver and device each publish an index and then read the other's flag, and each
 * write their own flag and then look at the other's index before they sleep. Both asleep with work
 * in the ring is a lost wake-up (B4, B6, S6): spin reports it as an invalid end state.
 *
 * Spin is sequentially consistent, a machine is not: the stores of each side go through a buffer,
 * which the memory process empties in order at any later time. A full barrier waits until one's own
 * buffer is empty. Neither side loads what it stores itself.
 *
 * Neither process ever ends; the indexes run around a small modulus, as the real ones do around
 * 2^16. Publishing and deciding whether to notify are two calls, and any number of requests may go by
 * in between: who tells by the index of 16 bits alone whether there is something to decide misses
 * just the 65536th (-DDECIDES_BY_INDEX).
 *
 * Clauses V-2.7.7.2-2, V-2.7.7.2-3, D-2.7.10.1-3, D-2.7.10.1-4 and D-2.7.13.4.1-1.
 *
 * run: holds
 * run: sleeps -DNO_BARRIER_DRIVER_KICKS
 * run: sleeps -DNO_BARRIER_DRIVER_SLEEPS
 * run: sleeps -DNO_BARRIER_DEVICE_NOTIFIES
 * run: sleeps -DNO_BARRIER_DEVICE_SLEEPS
 * run: sleeps -DNO_LOOK_DRIVER_SLEEPS
 * run: sleeps -DNO_LOOK_DEVICE_SLEEPS
 * run: sleeps -DDECIDES_BY_INDEX
 */
#define QUEUE_SIZE 2
#define MODULUS    4

#define MINUS(a, b) (((a) + MODULUS - (b)) % MODULUS)
#define NEXT(a)     (((a) + 1) % MODULUS)

#ifdef DECIDES_BY_INDEX
#define DUE(index)   ((index) != decided)
#define CLEAR(index) decided = index
#else
#define DUE(index)   (due)
#define CLEAR(index) due = 0
#endif

mtype = { INDEX, WISH };

byte avail_index; /* In memory, of the driver. */
bit no_interrupt;
byte used_index; /* In memory, of the device. */
bit no_notify;

bit kicked; /* Notifications: sticky until taken, as an eventfd is. */
bit interrupted;

chan driver_stores = [3] of { mtype, byte };
chan device_stores = [3] of { mtype, byte };

active proctype memory()
{
    byte value;
end:
    do
    :: atomic { driver_stores?INDEX, value -> avail_index = value; value = 0 }
    :: atomic { driver_stores?WISH, value -> no_interrupt = value; value = 0 }
    :: atomic { device_stores?INDEX, value -> used_index = value; value = 0 }
    :: atomic { device_stores?WISH, value -> no_notify = value; value = 0 }
    od
}

active proctype driver()
{
    byte avail;   /* Published, */
    byte used;    /* and taken back. */
    bit due;      /* Something was published and not decided upon, */
    byte decided; /* or so much was published at the last decision. */
    do
    :: atomic { MINUS(avail, used) < QUEUE_SIZE -> avail = NEXT(avail); due = 1 };
       driver_stores!INDEX, avail

    :: used_index != used ->
       atomic { assert(avail != used); used = NEXT(used) }

    :: DUE(avail) ->
#ifndef NO_BARRIER_DRIVER_KICKS
       empty(driver_stores);
#endif
       if
       :: no_notify
       :: else -> kicked = 1
       fi;
       CLEAR(avail)

    :: avail != used && !DUE(avail) && used_index == used -> /* Waits. */
       driver_stores!WISH, 0;
#ifndef NO_BARRIER_DRIVER_SLEEPS
       empty(driver_stores);
#endif
       if
#ifndef NO_LOOK_DRIVER_SLEEPS
       :: used_index != used
#endif
       :: else -> atomic { interrupted -> interrupted = 0 }
       fi;
       driver_stores!WISH, 1
    od
}

active proctype device()
{
    byte taken;   /* Taken from the driver, */
    byte used;    /* finished and published. */
    bit due;      /* Something was published and not decided upon, */
    byte decided; /* or so much was published at the last decision. */
    do
    :: avail_index != taken ->
       atomic { taken = NEXT(taken); assert(MINUS(taken, used) <= QUEUE_SIZE) }

    :: atomic { taken != used -> used = NEXT(used); due = 1 };
       device_stores!INDEX, used

    :: DUE(used) ->
#ifndef NO_BARRIER_DEVICE_NOTIFIES
       empty(device_stores);
#endif
       if
       :: no_interrupt
       :: else -> interrupted = 1
       fi;
       CLEAR(used)

    :: !DUE(used) && avail_index == taken -> /* Waits. */
       device_stores!WISH, 0;
#ifndef NO_BARRIER_DEVICE_SLEEPS
       empty(device_stores);
#endif
       if
#ifndef NO_LOOK_DEVICE_SLEEPS
       :: avail_index != taken
#endif
       :: else ->
          if
          :: atomic { kicked -> kicked = 0 }
          :: taken != used /* Work in progress ends. */
          fi
       fi;
       device_stores!WISH, 1
    od
}
