// Package tpm keeps a till's journal key in a TPM 2.0: the key is made inside, only a blob that this TPM alone
// can use lies in the data folder, and every signature is the TPM's. Where a TPM has no SM2 the key can be
// sealed to it instead: made here, readable only with this TPM, in memory while the agent runs. Which is which,
// and what neither can do, is docs/adr/0004. To keep keys in another kind of device, implement
// identity.Keeper in a package beside this one.
package tpm
