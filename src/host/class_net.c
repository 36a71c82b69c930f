/* SPDX-License-Identifier: MIT */
/* Network card (VIRTIO 1.4, section 5.1). */
#include "host/class.h"

enum {
    CSUM = 0,
    GUEST_CSUM = 1,
    MTU = 3,
    MAC = 5,
    GUEST_TSO4 = 7,
    GUEST_TSO6 = 8,
    GUEST_ECN = 9,
    GUEST_UFO = 10,
    HOST_TSO4 = 11,
    HOST_TSO6 = 12,
    HOST_ECN = 13,
    HOST_UFO = 14,
    STATUS = 16,
    CTRL_VQ = 17,
    CTRL_RX = 18,
    CTRL_VLAN = 19,
    GUEST_ANNOUNCE = 21,
    MQ = 22,
    CTRL_MAC_ADDR = 23,
    HASH_TUNNEL = 51,
    VQ_NOTF_COAL = 52,
    NOTF_COAL = 53,
    GUEST_USO4 = 54,
    GUEST_USO6 = 55,
    HOST_USO = 56,
    HASH_REPORT = 57,
    RSS = 60,
    RSC_EXT = 61,
    SPEED_DUPLEX = 63,
    RSS_CONTEXT = 64,
    GUEST_UDP_TUNNEL_GSO = 65,
    GUEST_UDP_TUNNEL_GSO_CSUM = 66,
    HOST_UDP_TUNNEL_GSO = 67,
    HOST_UDP_TUNNEL_GSO_CSUM = 68,
};

static const struct l4vio_name features[] = {
    {CSUM, "CSUM"},
    {GUEST_CSUM, "GUEST_CSUM"},
    {2, "CTRL_GUEST_OFFLOADS"},
    {MTU, "MTU"},
    {MAC, "MAC"},
    {6, "GSO"}, /* Legacy. */
    {GUEST_TSO4, "GUEST_TSO4"},
    {GUEST_TSO6, "GUEST_TSO6"},
    {GUEST_ECN, "GUEST_ECN"},
    {GUEST_UFO, "GUEST_UFO"},
    {HOST_TSO4, "HOST_TSO4"},
    {HOST_TSO6, "HOST_TSO6"},
    {HOST_ECN, "HOST_ECN"},
    {HOST_UFO, "HOST_UFO"},
    {15, "MRG_RXBUF"},
    {STATUS, "STATUS"},
    {CTRL_VQ, "CTRL_VQ"},
    {CTRL_RX, "CTRL_RX"},
    {CTRL_VLAN, "CTRL_VLAN"},
    {20, "CTRL_RX_EXTRA"},
    {GUEST_ANNOUNCE, "GUEST_ANNOUNCE"},
    {MQ, "MQ"},
    {CTRL_MAC_ADDR, "CTRL_MAC_ADDR"},
    {42, "GUEST_RSC6"}, /* Legacy; its twin, 41, is ADMIN_VQ now. */
    {50, "DEVICE_STATS"},
    {HASH_TUNNEL, "HASH_TUNNEL"},
    {VQ_NOTF_COAL, "VQ_NOTF_COAL"},
    {NOTF_COAL, "NOTF_COAL"},
    {GUEST_USO4, "GUEST_USO4"},
    {GUEST_USO6, "GUEST_USO6"},
    {HOST_USO, "HOST_USO"},
    {HASH_REPORT, "HASH_REPORT"},
    {59, "GUEST_HDRLEN"},
    {RSS, "RSS"},
    {RSC_EXT, "RSC_EXT"},
    {62, "STANDBY"},
    {SPEED_DUPLEX, "SPEED_DUPLEX"},
    {RSS_CONTEXT, "RSS_CONTEXT"},
    {GUEST_UDP_TUNNEL_GSO, "GUEST_UDP_TUNNEL_GSO"},
    {GUEST_UDP_TUNNEL_GSO_CSUM, "GUEST_UDP_TUNNEL_GSO_CSUM"},
    {HOST_UDP_TUNNEL_GSO, "HOST_UDP_TUNNEL_GSO"},
    {HOST_UDP_TUNNEL_GSO_CSUM, "HOST_UDP_TUNNEL_GSO_CSUM"},
    {69, "OUT_NET_HEADER"},
    {70, "IPSEC"},
};

/*
 * Section 5.1.3.1, but for HOST_ECN, which needs HOST_TSO4 or HOST_TSO6: DPDK's library offers it without,
 * and its devices shall be recognised.
 */
static const struct l4vio_feature_dependency dependencies[] = {
    {GUEST_TSO4, GUEST_CSUM, GUEST_CSUM},
    {GUEST_TSO6, GUEST_CSUM, GUEST_CSUM},
    {GUEST_ECN, GUEST_TSO4, GUEST_TSO6},
    {GUEST_UFO, GUEST_CSUM, GUEST_CSUM},
    {GUEST_USO4, GUEST_CSUM, GUEST_CSUM},
    {GUEST_USO6, GUEST_CSUM, GUEST_CSUM},
    {GUEST_UDP_TUNNEL_GSO, GUEST_TSO4, GUEST_TSO4},
    {GUEST_UDP_TUNNEL_GSO, GUEST_TSO6, GUEST_TSO6},
    {GUEST_UDP_TUNNEL_GSO, GUEST_USO4, GUEST_USO4},
    {GUEST_UDP_TUNNEL_GSO, GUEST_USO6, GUEST_USO6},
    {GUEST_UDP_TUNNEL_GSO_CSUM, GUEST_UDP_TUNNEL_GSO, GUEST_UDP_TUNNEL_GSO},
    {HOST_TSO4, CSUM, CSUM},
    {HOST_TSO6, CSUM, CSUM},
    {HOST_UFO, CSUM, CSUM},
    {HOST_USO, CSUM, CSUM},
    {HOST_UDP_TUNNEL_GSO, HOST_TSO4, HOST_TSO4},
    {HOST_UDP_TUNNEL_GSO, HOST_TSO6, HOST_TSO6},
    {HOST_UDP_TUNNEL_GSO, HOST_USO, HOST_USO},
    {HOST_UDP_TUNNEL_GSO_CSUM, HOST_UDP_TUNNEL_GSO, HOST_UDP_TUNNEL_GSO},
    {CTRL_RX, CTRL_VQ, CTRL_VQ},
    {CTRL_VLAN, CTRL_VQ, CTRL_VQ},
    {GUEST_ANNOUNCE, CTRL_VQ, CTRL_VQ},
    {MQ, CTRL_VQ, CTRL_VQ},
    {CTRL_MAC_ADDR, CTRL_VQ, CTRL_VQ},
    {NOTF_COAL, CTRL_VQ, CTRL_VQ},
    {RSC_EXT, HOST_TSO4, HOST_TSO6},
    {RSS, CTRL_VQ, CTRL_VQ},
    {VQ_NOTF_COAL, CTRL_VQ, CTRL_VQ},
    {HASH_TUNNEL, CTRL_VQ, CTRL_VQ},
    {HASH_TUNNEL, RSS, HASH_REPORT},
    {RSS_CONTEXT, RSS, RSS},
};

static const struct l4vio_name status_bits[] = {{0, "LINK_UP"}, {1, "ANNOUNCE"}};

static const struct l4vio_name duplex_values[] = {{0, "half"}, {1, "full"}, {255, "unknown"}};

static const struct l4vio_name speed_values[] = {{UINT32_MAX, "unknown"}};

static const struct l4vio_name hash_types[] = {
    {0, "IPv4"},  {1, "TCPv4"}, {2, "UDPv4"},  {3, "IPv6"},   {4, "TCPv6"},
    {5, "UDPv6"}, {6, "IP_EX"}, {7, "TCP_EX"}, {8, "UDP_EX"},
};

static const struct l4vio_name tunnel_types[] = {
    {0, "GRE_2784"},  {1, "GRE_2890"}, {2, "GRE_7676"}, {3, "GRE_UDP"}, {4, "VXLAN"},
    {5, "VXLAN_GPE"}, {6, "GENEVE"},   {7, "IPIP"},     {8, "NVGRE"},
};

static const struct l4vio_config_field fields[] = {
    {CLASS_ARRAY("mac", 0, 1, 6), .kind = L4VIO_FIELD_MAC, CLASS_BY(MAC)},
    {CLASS_FIELD("status", 6, 2), CLASS_FLAGS(status_bits), CLASS_BY(STATUS)},
    {CLASS_FIELD("max_virtqueue_pairs", 8, 2), CLASS_BY_ANY(MQ, RSS), .least = 1, .most = 0x8000},
    {CLASS_FIELD("mtu", 10, 2), CLASS_UNIT("bytes", 1), CLASS_BY(MTU), .least = 68},
    {CLASS_FIELD("speed", 12, 4), CLASS_UNIT("Mbit/s", 0), CLASS_CHOICE(speed_values),
     CLASS_BY(SPEED_DUPLEX)},
    {CLASS_FIELD("duplex", 16, 1), CLASS_CHOICE(duplex_values), CLASS_BY(SPEED_DUPLEX)},
    {CLASS_FIELD("rss_max_key_size", 17, 1), CLASS_UNIT("bytes", 1),
     CLASS_BY_ANY(RSS, HASH_REPORT)},
    {CLASS_FIELD("rss_max_indirection_table_length", 18, 2), CLASS_UNIT("entries", 0),
     CLASS_BY(RSS)},
    {CLASS_FIELD("supported_hash_types", 20, 4), CLASS_FLAGS(hash_types),
     CLASS_BY_ANY(RSS, HASH_REPORT)},
    {CLASS_FIELD("supported_tunnel_types", 24, 4), CLASS_FLAGS(tunnel_types),
     CLASS_BY(HASH_TUNNEL)},
};

/* As many pairs as there are, then the control queue. */
static const struct l4vio_class_queue queues[] = {
    {"receiveq#", CLASS_NO_FEATURE},
    {"transmitq#", CLASS_NO_FEATURE},
    {"controlq", CTRL_VQ},
};

const struct l4vio_class l4vio_class_net = {
    CLASS_TABLE(features), CLASS_TABLE(dependencies), CLASS_TABLE(fields),
    CLASS_TABLE(queues),   "max_virtqueue_pairs",
};
