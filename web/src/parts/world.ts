// SPDX-License-Identifier: Apache-2.0
/*
 * world.ts - the world as a grid: one square for each country, roughly where it is.  Made for this page
 * from the countries' places; small countries are as large as large ones, so that they can be read.
 */
export const WORLD: readonly string[] = [
    '.. .. .. .. .. GL .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. ..',
    '.. .. .. .. .. .. .. IS .. .. .. NO .. SE .. FI .. .. .. .. .. .. .. .. .. .. .. .. .. ..',
    'CA .. .. .. .. .. .. .. .. .. .. .. .. .. .. EE .. .. .. RU .. .. .. .. .. .. .. .. .. ..',
    '.. .. .. .. .. .. .. .. .. .. .. DK .. .. LT LV .. .. .. .. .. .. .. .. .. .. .. .. .. ..',
    '.. .. .. .. .. .. .. .. IE GB NL DE .. PL .. BY .. .. .. .. .. .. .. .. .. .. .. .. .. ..',
    '.. .. .. .. .. .. .. .. .. .. BE LU AT CZ .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. ..',
    '.. .. .. .. .. .. .. .. .. .. .. CH SI HU SK MD UA .. .. .. KZ .. .. MN .. .. .. .. .. ..',
    '.. .. .. .. .. .. .. .. .. .. FR .. HR BA RS RO .. GE .. .. .. .. .. .. .. .. .. .. .. ..',
    '.. .. .. .. .. .. .. .. .. .. .. .. IT ME XK BG TR AM AZ .. UZ KG .. .. .. KP .. .. .. ..',
    '.. US .. .. .. .. .. .. PT ES .. .. MT AL MK CY LB SY .. TM TJ .. .. CN .. KR JP .. .. ..',
    '.. .. .. .. .. .. .. .. MA .. .. TN .. .. GR .. PS JO IQ IR AF .. .. .. .. .. .. .. .. ..',
    '.. .. BS .. .. .. .. .. .. .. DZ .. .. LY .. EG IL KW BH .. PK .. NP BT .. TW .. .. .. ..',
    'MX BZ CU DO .. .. .. MR .. .. .. .. .. .. .. .. .. SA QA AE .. IN BD MM MO HK .. .. .. ..',
    '.. GT JM HT PR .. .. SN .. ML .. NE .. .. .. .. .. .. .. OM .. .. .. LA VN .. .. .. .. ..',
    '.. HN NI PA BB .. CV GM GN BF BJ .. .. TD .. SD .. ER YE .. .. .. .. TH KH PH .. .. .. ..',
    '.. SV CR VE TT GF .. GW SL GH TG NG CM .. CF SS ET DJ SO .. .. LK .. .. BN .. .. .. .. ..',
    '.. .. EC CO GY SR .. LR CI .. .. .. GQ CG .. .. UG KE .. .. MV .. .. MY SG .. .. .. .. ..',
    '.. .. .. .. .. .. .. .. .. .. .. .. GA .. CD RW BI .. .. SC .. .. .. .. ID .. .. PG .. ..',
    '.. .. PE .. BR .. .. .. .. .. .. .. .. AO .. ZM TZ KM .. .. .. .. .. .. .. TL .. .. SB ..',
    '.. .. .. BO .. .. .. .. .. .. .. .. .. .. .. ZW MW MZ MG MU .. .. .. .. .. .. .. .. VU FJ',
    '.. .. .. .. PY .. .. .. .. .. .. .. .. NA BW .. SZ .. .. RE .. .. .. .. .. .. AU .. NC ..',
    '.. .. .. CL UY .. .. .. .. .. .. .. .. .. ZA LS .. .. .. .. .. .. .. .. .. .. .. .. .. ..',
    '.. .. .. AR .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. NZ',
];
