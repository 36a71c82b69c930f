/* SPDX-License-Identifier: MIT */
/* Memory balloon, IOMMU, memory device (VIRTIO 1.4, sections 5.5, 5.13, 5.15). */
#include "host/class.h"

/* Memory balloon. */

enum { STATS_VQ = 1, FREE_PAGE_HINT = 3, PAGE_POISON = 4, PAGE_REPORTING = 5 };

static const struct l4vio_name balloon_features[] = {
    {0, "MUST_TELL_HOST"},        {STATS_VQ, "STATS_VQ"},
    {2, "DEFLATE_ON_OOM"},        {FREE_PAGE_HINT, "FREE_PAGE_HINT"},
    {PAGE_POISON, "PAGE_POISON"}, {PAGE_REPORTING, "PAGE_REPORTING"},
};

static const struct l4vio_config_field balloon_fields[] = {
    {CLASS_FIELD("num_pages", 0, 4), CLASS_UNIT("pages", 4096), CLASS_ALWAYS},
    {CLASS_FIELD("actual", 4, 4), CLASS_UNIT("pages", 4096), CLASS_ALWAYS},
    {CLASS_FIELD("free_page_hint_cmd_id", 8, 4), CLASS_BY(FREE_PAGE_HINT)},
    {CLASS_FIELD("poison_val", 12, 4), CLASS_BY(PAGE_POISON)},
};

/* Queues whose feature is not there leave no gap: so drivers and devices do it. */
static const struct l4vio_class_queue balloon_queues[] = {
    {"inflateq", CLASS_NO_FEATURE},   {"deflateq", CLASS_NO_FEATURE},   {"statsq", STATS_VQ},
    {"free_page_vq", FREE_PAGE_HINT}, {"reporting_vq", PAGE_REPORTING},
};

const struct l4vio_class l4vio_class_balloon = {
    CLASS_TABLE(balloon_features), NULL, 0, CLASS_TABLE(balloon_fields),
    CLASS_TABLE(balloon_queues),   NULL,
};

/* IOMMU. */

enum { INPUT_RANGE = 0, DOMAIN_RANGE = 1, PROBE = 4, BYPASS_CONFIG = 6 };

static const struct l4vio_name iommu_features[] = {
    {INPUT_RANGE, "INPUT_RANGE"},
    {DOMAIN_RANGE, "DOMAIN_RANGE"},
    {2, "MAP_UNMAP"},
    {3, "BYPASS"},
    {PROBE, "PROBE"},
    {5, "MMIO"},
    {BYPASS_CONFIG, "BYPASS_CONFIG"},
};

static const struct l4vio_config_field iommu_fields[] = {
    {CLASS_FIELD("page_size_mask", 0, 8), .kind = L4VIO_FIELD_FLAGS, CLASS_ALWAYS, .least = 1},
    {CLASS_FIELD("input_range.start", 8, 8), CLASS_BY(INPUT_RANGE)},
    {CLASS_FIELD("input_range.end", 16, 8), CLASS_BY(INPUT_RANGE)},
    {CLASS_FIELD("domain_range.start", 24, 4), CLASS_BY(DOMAIN_RANGE)},
    {CLASS_FIELD("domain_range.end", 28, 4), CLASS_BY(DOMAIN_RANGE)},
    {CLASS_FIELD("probe_size", 32, 4), CLASS_UNIT("bytes", 1), CLASS_BY(PROBE)},
    {CLASS_FIELD("bypass", 36, 1), .kind = L4VIO_FIELD_BOOLEAN, CLASS_BY(BYPASS_CONFIG)},
};

static const struct l4vio_class_queue iommu_queues[] = {
    {"requestq", CLASS_NO_FEATURE},
    {"eventq", CLASS_NO_FEATURE},
};

const struct l4vio_class l4vio_class_iommu = {
    CLASS_TABLE(iommu_features), NULL, 0, CLASS_TABLE(iommu_fields),
    CLASS_TABLE(iommu_queues),   NULL,
};

/* Memory device. */

enum { ACPI_PXM = 0 };

static const struct l4vio_name mem_features[] = {
    {ACPI_PXM, "ACPI_PXM"},
    {1, "UNPLUGGED_INACCESSIBLE"},
    {2, "PERSISTENT_SUSPEND"},
};

static const struct l4vio_config_field mem_fields[] = {
    {CLASS_FIELD("block_size", 0, 8), CLASS_UNIT("bytes", 1), CLASS_ALWAYS, .least = 1},
    {CLASS_FIELD("node_id", 8, 2), CLASS_BY(ACPI_PXM)},
    {CLASS_FIELD("addr", 16, 8), CLASS_ALWAYS},
    {CLASS_FIELD("region_size", 24, 8), CLASS_UNIT("bytes", 1), CLASS_ALWAYS},
    {CLASS_FIELD("usable_region_size", 32, 8), CLASS_UNIT("bytes", 1), CLASS_ALWAYS},
    {CLASS_FIELD("plugged_size", 40, 8), CLASS_UNIT("bytes", 1), CLASS_ALWAYS},
    {CLASS_FIELD("requested_size", 48, 8), CLASS_UNIT("bytes", 1), CLASS_ALWAYS},
};

static const struct l4vio_class_queue mem_queues[] = {{"guest-request", CLASS_NO_FEATURE}};

const struct l4vio_class l4vio_class_mem = {
    CLASS_TABLE(mem_features), NULL, 0, CLASS_TABLE(mem_fields), CLASS_TABLE(mem_queues), NULL,
};
