# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests stand on: origins, clients, daemons and the proxy itself as objects."""
