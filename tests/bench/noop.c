/* SPDX-License-Identifier: Apache-2.0 */
/* The stage that does nothing. */
int main(void)
{
	return 0;
}
