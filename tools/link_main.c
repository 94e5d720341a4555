/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tools/link_main.c - an empty program.
 *
 * meson.build links it with the whole of a layer and all below (target `layers`): a call upward,
 * which an include check cannot see when the caller declares the function himself, is an undefined
 * symbol.
 */
int
main(void)
{
    return 0;
}
