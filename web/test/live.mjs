// SPDX-License-Identifier: Apache-2.0
/*
 * live.mjs - the dashboard as a real maitred serves it.  Tokens and names: tests/e2e/test_dashboard.py.
 */
import { expect } from './browser.mjs';
