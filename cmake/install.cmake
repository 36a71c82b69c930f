# SPDX-License-Identifier: MIT
# Filled in by the libraries that exist.
