/* SPDX-License-Identifier: MIT */
/*
 * All access to shared memory and all memory ordering of the library, in one place.
 *
 * Shared memory holds little-endian numbers that the other side may change at any time. Each access
 * here is one access of exactly that width (never torn, never repeated by the compiler), converted
 * to or from the machine's byte order, which costs nothing on little-endian machines. The builtins
 * are understood by the thread sanitizer.
 *
 * Orders are those of section 2.7.13 and 2.7.14: what is behind an index is written before the index
 * (store-release) and read after it (load-acquire); a full barrier stands wherever a store has to
 * be visible before a later load is done (notification suppression, both directions).
 */
#ifndef L4VIO_ORDERING_H
#define L4VIO_ORDERING_H

#include <stdint.h>

#include <l4vio/wire/ring.h>

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
static inline uint16_t l4vio_swap16(uint16_t value)
{
    return __builtin_bswap16(value);
}
static inline uint32_t l4vio_swap32(uint32_t value)
{
    return __builtin_bswap32(value);
}
static inline uint64_t l4vio_swap64(uint64_t value)
{
    return __builtin_bswap64(value);
}
#else
static inline uint16_t l4vio_swap16(uint16_t value)
{
    return value;
}
static inline uint32_t l4vio_swap32(uint32_t value)
{
    return value;
}
static inline uint64_t l4vio_swap64(uint64_t value)
{
    return value;
}
#endif

/* One relaxed load: for values whose order does not matter, or is made by a load of an index. */
static inline uint8_t l4vio_load8(const uint8_t *from)
{
    return __atomic_load_n(from, __ATOMIC_RELAXED);
}
static inline uint16_t l4vio_load16(const l4vio_le16 *from)
{
    return l4vio_swap16(__atomic_load_n(from, __ATOMIC_RELAXED));
}
static inline uint32_t l4vio_load32(const l4vio_le32 *from)
{
    return l4vio_swap32(__atomic_load_n(from, __ATOMIC_RELAXED));
}

/*
 * 64-bit fields: one access where the machine has one; 32-bit machines read two halves, which is
 * what the specification allows for (the generation loop catches a torn read of configuration; a
 * torn address from a hostile driver is checked like any other).
 */
static inline uint64_t l4vio_load64(const l4vio_le64 *from)
{
#if __SIZEOF_POINTER__ >= 8
    return l4vio_swap64(__atomic_load_n(from, __ATOMIC_RELAXED));
#else
    const l4vio_le32 *half = (const l4vio_le32 *)(const void *)from;
    uint64_t low = l4vio_load32(&half[0]);
    return low | (uint64_t)l4vio_load32(&half[1]) << 32;
#endif
}

/* One relaxed store: for contents that a later store-release of an index makes visible. */
static inline void l4vio_store8(uint8_t *to, uint8_t value)
{
    __atomic_store_n(to, value, __ATOMIC_RELAXED);
}
static inline void l4vio_store16(l4vio_le16 *to, uint16_t value)
{
    __atomic_store_n(to, l4vio_swap16(value), __ATOMIC_RELAXED);
}
static inline void l4vio_store32(l4vio_le32 *to, uint32_t value)
{
    __atomic_store_n(to, l4vio_swap32(value), __ATOMIC_RELAXED);
}
static inline void l4vio_store64(l4vio_le64 *to, uint64_t value)
{
#if __SIZEOF_POINTER__ >= 8
    __atomic_store_n(to, l4vio_swap64(value), __ATOMIC_RELAXED);
#else
    l4vio_le32 *half = (l4vio_le32 *)(void *)to;
    l4vio_store32(&half[0], (uint32_t)value);
    l4vio_store32(&half[1], (uint32_t)(value >> 32));
#endif
}

/* Flags and next of a split descriptor, by one store. */
static inline void l4vio_store_flags_next(struct virtq_desc *desc, uint32_t flags, uint32_t next)
{
    l4vio_store32((l4vio_le32 *)(void *)&desc->flags, flags | next << 16);
}

/*
 * Load-acquire of an index that the peer publishes: what lies behind it is read afterwards (driver:
 * used.idx, clause D-2.7.14; device: avail.idx). Defect B5 was a plain load here.
 */
static inline uint16_t l4vio_load16_acquire(const l4vio_le16 *from)
{
    return l4vio_swap16(__atomic_load_n(from, __ATOMIC_ACQUIRE));
}
static inline uint32_t l4vio_load32_acquire(const l4vio_le32 *from)
{
    return l4vio_swap32(__atomic_load_n(from, __ATOMIC_ACQUIRE));
}

/*
 * Store-release of an index that we publish: what lies behind it is visible before (driver:
 * avail.idx, clause D-2.7.13.3.1-1; device: used.idx, clause V-2.7.8.2-1).
 */
static inline void l4vio_store16_release(l4vio_le16 *to, uint16_t value)
{
    __atomic_store_n(to, l4vio_swap16(value), __ATOMIC_RELEASE);
}
static inline void l4vio_store32_release(l4vio_le32 *to, uint32_t value)
{
    __atomic_store_n(to, l4vio_swap32(value), __ATOMIC_RELEASE);
}

/*
 * Full barrier, store before load: between publishing an index and reading the peer's notification
 * suppression (clause D-2.7.13.4.1-1; defect B4), and between asking for notifications and looking
 * at the ring again (defects B6, S6). x86 needs it too.
 */
static inline void l4vio_full_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/*
 * With ORDER_PLATFORM the other side may be something else than a CPU: the barriers of the platform,
 * beside acquire, release and full barrier, which are for CPUs (section 6.1). For memory that both see
 * through caches; behind a load of what the other side published, before a store that publishes, and
 * between a store and a load.
 */
static inline void l4vio_platform_acquire_barrier(void)
{
#if defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 8)
    __asm__ volatile("dmb oshld" ::: "memory");
#elif defined(__ARM_ARCH) && __ARM_ARCH >= 7
    __asm__ volatile("dmb osh" ::: "memory");
#elif defined(__riscv)
    __asm__ volatile("fence ir, iorw" ::: "memory");
#else
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
}
static inline void l4vio_platform_release_barrier(void)
{
#if defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
    __asm__ volatile("dmb osh" ::: "memory");
#elif defined(__riscv)
    __asm__ volatile("fence iorw, ow" ::: "memory");
#else
    __atomic_thread_fence(__ATOMIC_RELEASE);
#endif
}
static inline void l4vio_platform_full_barrier(void)
{
#if defined(__x86_64__)
    __asm__ volatile("mfence" ::: "memory");
#elif defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
    __asm__ volatile("dsb sy" ::: "memory");
#elif defined(__riscv)
    __asm__ volatile("fence iorw, iorw" ::: "memory");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/*
 * What of a packed descriptor says whose it is, with what belongs to it: len, id and flags, its last 8
 * bytes, as one number. Whoever sees the flags has to see len and id as well (sections 2.8.6, 2.8.21).
 */
static inline uint64_t l4vio_packed_word(uint32_t length_bytes, uint32_t id, uint32_t flags)
{
    return length_bytes | (uint64_t)(id | flags << 16) << 32;
}
static inline uint32_t l4vio_packed_length(uint64_t word)
{
    return (uint32_t)word;
}
static inline uint32_t l4vio_packed_id(uint64_t word)
{
    return (uint32_t)(word >> 32) & UINT16_MAX;
}
static inline uint32_t l4vio_packed_flags(uint64_t word)
{
    return (uint32_t)(word >> 48);
}

/*
 * One store where the machine has one of 64 bits: it is there at once, so nothing has to be ordered
 * within, and a load of the same width finds it in the store buffer. The thread sanitizer knows what
 * a release orders by its address, and the other side may look at the flags alone: for it, as on
 * 32-bit machines, the flags are stored last.
 *
 * One load only where all loads and all stores of others keep their order (x86-64): elsewhere the flags
 * of a 64-bit load may be newer than its other half, if the other side stored them one by one.
 */
#if defined(__SANITIZE_THREAD__)
#define L4VIO_SEES_THREADS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define L4VIO_SEES_THREADS 1
#endif
#endif
#if __SIZEOF_POINTER__ >= 8 && !defined(L4VIO_SEES_THREADS)
#define L4VIO_PACKED_ONE_STORE 1
#if defined(__x86_64__)
#define L4VIO_PACKED_ONE_LOAD 1
#endif
#endif

typedef uint64_t __attribute__((may_alias)) l4vio_packed_word_le;

static inline l4vio_packed_word_le *l4vio_packed_word_of(const struct virtq_packed_desc *desc)
{
    return (l4vio_packed_word_le *)(uintptr_t)&desc->len;
}

/*
 * Reads those bytes of a descriptor that was made visible by something that was loaded before, once. Of
 * a split descriptor too: flags are in the place of the id, next is in that of the flags.
 */
static inline uint64_t l4vio_load_packed(const struct virtq_packed_desc *desc)
{
#if __SIZEOF_POINTER__ >= 8
    return l4vio_swap64(__atomic_load_n(l4vio_packed_word_of(desc), __ATOMIC_RELAXED));
#else
    uint32_t id = l4vio_load16(&desc->id);
    uint32_t flags = l4vio_load16(&desc->flags);
    return l4vio_packed_word(l4vio_load32(&desc->len), id, flags);
#endif
}

/* Of a descriptor that is behind another one that is not made available yet (driver), or not used. */
static inline void l4vio_store_packed(struct virtq_packed_desc *desc, uint64_t word)
{
#if __SIZEOF_POINTER__ >= 8
    __atomic_store_n(l4vio_packed_word_of(desc), l4vio_swap64(word), __ATOMIC_RELAXED);
#else
    l4vio_store32(&desc->len, l4vio_packed_length(word));
    l4vio_store16(&desc->id, (uint16_t)l4vio_packed_id(word));
    l4vio_store16(&desc->flags, (uint16_t)l4vio_packed_flags(word));
#endif
}

/*
 * Makes a descriptor, and all that was written before it, visible (driver: available, clause
 * D-2.8.21.1.1-1; device: used).
 */
static inline void l4vio_store_packed_release(struct virtq_packed_desc *desc, uint64_t word)
{
#if defined(L4VIO_PACKED_ONE_STORE)
    __atomic_store_n(l4vio_packed_word_of(desc), l4vio_swap64(word), __ATOMIC_RELEASE);
#else
    l4vio_store32(&desc->len, l4vio_packed_length(word));
    l4vio_store16(&desc->id, (uint16_t)l4vio_packed_id(word));
    l4vio_store16_release(&desc->flags, (uint16_t)l4vio_packed_flags(word));
#endif
}

/* The same with ORDER_PLATFORM. */
static inline void l4vio_store_packed_platform(struct virtq_packed_desc *desc, uint64_t word)
{
#if !defined(L4VIO_PACKED_ONE_STORE)
    l4vio_store32(&desc->len, l4vio_packed_length(word));
    l4vio_store16(&desc->id, (uint16_t)l4vio_packed_id(word));
#endif
    l4vio_platform_release_barrier();
    l4vio_store_packed_release(desc, word);
}

/*
 * Reads a descriptor that the other side may be about to write. If the flags say that it has, len and
 * id are what goes with them, and what it wrote before is read afterwards.
 */
static inline uint64_t l4vio_load_packed_acquire(const struct virtq_packed_desc *desc)
{
#if defined(L4VIO_PACKED_ONE_LOAD)
    return l4vio_swap64(__atomic_load_n(l4vio_packed_word_of(desc), __ATOMIC_ACQUIRE));
#else
    uint32_t flags = l4vio_load16_acquire(&desc->flags);
    uint32_t id = l4vio_load16(&desc->id);
    return l4vio_packed_word(l4vio_load32(&desc->len), id, flags);
#endif
}

/* The same with ORDER_PLATFORM. */
static inline uint64_t l4vio_load_packed_platform(const struct virtq_packed_desc *desc)
{
#if defined(L4VIO_PACKED_ONE_LOAD)
    uint64_t word = l4vio_load_packed_acquire(desc);
    l4vio_platform_acquire_barrier();
    return word;
#else
    uint32_t flags = l4vio_load16_acquire(&desc->flags);
    l4vio_platform_acquire_barrier();
    uint32_t id = l4vio_load16(&desc->id);
    return l4vio_packed_word(l4vio_load32(&desc->len), id, flags);
#endif
}

/*
 * Private words that several threads of this side share, in the machine's byte order: the device's
 * status, which the thread of any queue may set DEVICE_NEEDS_RESET in.
 */
static inline uint32_t l4vio_private_load32(const uint32_t *from)
{
    return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}
static inline void l4vio_private_store32(uint32_t *to, uint32_t value)
{
    __atomic_store_n(to, value, __ATOMIC_RELEASE);
}
/* Returns the old value. */
static inline uint32_t l4vio_private_or32(uint32_t *to, uint32_t bits)
{
    return __atomic_fetch_or(to, bits, __ATOMIC_ACQ_REL);
}

/*
 * Stores to a record that is read once this process is dead, in the machine's byte order: each is one
 * store, done once all before it in the program are, those to rings among them. Who dies between two of
 * them has done the first and not the second; the reader comes afterwards, so the CPU has nothing to
 * order. Loads are the successor's: once each.
 */
static inline void l4vio_record_store8(uint8_t *to, uint8_t value)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(to, value, __ATOMIC_RELAXED);
}
static inline void l4vio_record_store16(uint16_t *to, uint16_t value)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(to, value, __ATOMIC_RELAXED);
}
static inline void l4vio_record_store32(uint32_t *to, uint32_t value)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(to, value, __ATOMIC_RELAXED);
}
static inline uint8_t l4vio_record_load8(const uint8_t *from)
{
    return __atomic_load_n(from, __ATOMIC_RELAXED);
}
static inline uint16_t l4vio_record_load16(const uint16_t *from)
{
    return __atomic_load_n(from, __ATOMIC_RELAXED);
}
static inline uint32_t l4vio_record_load32(const uint32_t *from)
{
    return __atomic_load_n(from, __ATOMIC_RELAXED);
}
/* Of 64 bits only where the machine has such a store; else two halves, in any order. */
static inline void l4vio_record_store64(uint64_t *to, uint64_t value)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
#if __SIZEOF_POINTER__ >= 8
    __atomic_store_n(to, value, __ATOMIC_RELAXED);
#else
    *(volatile uint64_t *)to = value;
#endif
}
static inline uint64_t l4vio_record_load64(const uint64_t *from)
{
#if __SIZEOF_POINTER__ >= 8
    return __atomic_load_n(from, __ATOMIC_RELAXED);
#else
    return *(const volatile uint64_t *)from;
#endif
}

/* Sets bits that others set and clear, too. What was written before is visible to whoever sees them. */
static inline void l4vio_or8_release(uint8_t *to, uint8_t bits)
{
    __atomic_fetch_or(to, bits, __ATOMIC_RELEASE);
}

/* Tells the CPU that this is a spin loop. */
static inline void l4vio_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

#endif
