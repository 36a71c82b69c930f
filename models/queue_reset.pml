/* SPDX-License-Identifier: MIT */
/*
 * Reset of one queue (RING_RESET, section 2.6.1): at any time, with requests in flight and a device
 * at work on them, the driver asks for the reset, waits until the device says that it is done, takes
 * back what is in flight, writes the rings afresh and sets the queue up again; over and over.
 *
 * Checked: the device writes a buffer only while it is lent to it, and in the same life of the queue
 * (also if the write sits in a store buffer for a while); a request comes back once, completed or
 * taken back; one that comes back completed was done. A queue that does not work after it was set
 * up again shows as an invalid end state: the driver sleeps for ever.
 *
 * The stores of the driver and of the thread that works on the queue go through a buffer each, as in
 * split_flags.pml. The device's calls and that thread meet at locks, which are full barriers; so
 * what they share is not shown as memory. Notifications outlive a reset and are harmless.
 *
 * Clauses V-2.6.1.1.1-2 and D-2.6.1.1.2-1.
 *
 * run: holds
 * run: wrong -DDRIVER_DOES_NOT_WAIT
 * run: wrong -DDRIVER_KEEPS_RINGS
 * run: wrong -DNO_BARRIER_DRIVER_CONFIGURES
 * run: sleeps -DDRIVER_KEEPS_KICK_INDEX
 * run: wrong -DDEVICE_DOES_NOT_WAIT
 * run: wrong -DDEVICE_STAYS_READY
 * run: wrong -DDEVICE_KEEPS_POSITIONS
 * run: wrong -DNO_BARRIER_DEVICE_CONFIRMS
 */
#define SIZE    2 /* Entries, and requests: a request's id is that of its buffer. */
#define MODULUS 4

#define NEXT(a) (((a) + 1) % MODULUS)

mtype = { AVAIL_RING, AVAIL_INDEX, USED_RING, USED_INDEX, BUFFER, RESET, CONFIGURE, DONE };

byte avail_ring[SIZE]; /* In memory. */
byte avail_index;
byte used_ring[SIZE];
byte used_index;
bit written[SIZE]; /* Contents of the buffers. */

bit kicked; /* Notifications: sticky until taken, as an eventfd is. */
bit interrupted;

/* What is true, for the checks: which buffers the driver has lent, in which life of the queue. */
bit lent[SIZE];
bit life;

/* Private to the device. */
bit ready = 1;
bit stopping;
bit working; /* The thread of the queue is at it. */
bit held[SIZE];
byte taken;
byte used;
bit device_life;

chan driver_stores = [2] of { mtype, byte, byte };
chan device_stores = [3] of { mtype, byte, byte };
chan call = [0] of { mtype };
chan reply = [0] of { mtype };

inline land(what, where, value)
{
    if
    :: what == AVAIL_RING -> avail_ring[where] = value
    :: what == AVAIL_INDEX -> avail_index = value
    :: what == USED_RING -> used_ring[where] = value
    :: what == USED_INDEX -> used_index = value
    :: what == BUFFER -> assert(lent[where] && value == life); written[where] = 1
    fi;
    what = 0;
    where = 0;
    value = 0
}

active proctype memory()
{
    mtype what;
    byte where, value;
end:
    do
    :: atomic { driver_stores?what, where, value -> land(what, where, value) }
    :: atomic { device_stores?what, where, value -> land(what, where, value) }
    od
}

active proctype driver()
{
    byte avail, decided, taken_back, id;
    byte since; /* Published since the last decision: fewer than an index has values. */
    bit in_flight[SIZE];
    do
    :: atomic {
           since + 1 < MODULUS && (!in_flight[0] || !in_flight[1]);
           if
           :: !in_flight[0] -> id = 0
           :: !in_flight[1] -> id = 1
           fi;
           in_flight[id] = 1;
           lent[id] = 1;
           written[id] = 0
       };
       driver_stores!AVAIL_RING, avail % SIZE, id;
       atomic { avail = NEXT(avail); since++; id = 0 };
       driver_stores!AVAIL_INDEX, 0, avail

    :: decided != avail ->
       empty(driver_stores);
       atomic { kicked = 1; decided = avail; since = 0 }

    :: used_index != taken_back ->
       atomic {
           id = used_ring[taken_back % SIZE];
           assert(in_flight[id] && written[id]);
           in_flight[id] = 0;
           lent[id] = 0;
           taken_back = NEXT(taken_back);
           id = 0
       }

    :: used_index == taken_back && decided == avail && avail != taken_back ->
       atomic { interrupted -> interrupted = 0 }

    :: true ->
       call!RESET;
#ifndef DRIVER_DOES_NOT_WAIT
       reply?DONE;
#endif
       /* Everything in flight is handed back. */
       atomic {
           in_flight[0] = 0;
           in_flight[1] = 0;
           lent[0] = 0;
           lent[1] = 0;
           life = 1 - life;
           since = 0;
           avail = 0;
           taken_back = 0;
#ifndef DRIVER_KEEPS_KICK_INDEX
           decided = 0
#endif
       };
#ifdef DRIVER_DOES_NOT_WAIT
       reply?DONE;
#endif
#ifndef DRIVER_KEEPS_RINGS
       driver_stores!USED_INDEX, 0, 0;
       driver_stores!AVAIL_INDEX, 0, 0;
#endif
#ifdef NO_BARRIER_DRIVER_CONFIGURES
       len(driver_stores) <= 1; /* It would find the used index in its own buffer. */
#else
       empty(driver_stores);
#endif
       call!CONFIGURE;
       reply?DONE
    od
}

active proctype control()
{
end:
    do
    :: call?RESET ->
       stopping = 1;
#ifndef DEVICE_DOES_NOT_WAIT
       !working && !held[0] && !held[1];
#endif
#ifndef NO_BARRIER_DEVICE_CONFIRMS
       empty(device_stores);
#endif
       atomic {
#ifndef DEVICE_STAYS_READY
           ready = 0;
#endif
           stopping = 0
       };
       reply!DONE
    :: call?CONFIGURE ->
       atomic {
           ready = 1;
#ifndef DEVICE_KEEPS_POSITIONS
           taken = 0;
           used = 0;
#endif
           device_life = 1 - device_life
       };
       reply!DONE
    od
}

/* The thread that works on the queue. */
active proctype worker()
{
    byte id;
end:
    do
    :: atomic { ready && !stopping -> working = 1 };
       if
       :: avail_index != taken ->
          atomic {
              id = avail_ring[taken % SIZE];
              assert(lent[id] && !held[id] && device_life == life);
              held[id] = 1;
              taken = NEXT(taken);
              id = 0;
              working = 0
          }
       :: else ->
          working = 0;
          if
          :: atomic { kicked -> kicked = 0 }
          :: stopping || held[0] || held[1]
          fi
       fi

    :: atomic {
           held[0] || held[1];
           if
           :: held[0] -> id = 0
           :: held[1] -> id = 1
           fi;
           working = 1
       };
       device_stores!BUFFER, id, device_life;
       if
       :: !stopping ->
          device_stores!USED_RING, used % SIZE, id;
          atomic { used = NEXT(used); held[id] = 0 };
          device_stores!USED_INDEX, 0, used;
          empty(device_stores);
          interrupted = 1
       :: stopping -> held[id] = 0 /* Its result is dropped. */
       fi;
       atomic { id = 0; working = 0 }
    od
}
