package tpm

import (
	"errors"

	"github.com/google/go-tpm/tpm2"

	"dcpos/pos"
)

// kind is one thing that can be wrong with a key in a TPM: what it is and what to do, in two languages.
type kind [4]string

// trouble is a pos.ErrKeyDevice that says what is wrong.
func trouble(of func() kind, cause error) error {
	k := of()
	e := pos.NewError(pos.ErrKeyDevice, cause)
	e.Text, e.Hint = pos.Text{ZH: k[0], EN: k[1]}, pos.Text{ZH: k[2], EN: k[3]}
	return e
}

func noTPM() kind {
	return kind{
		"找不到安全芯片(TPM)", "there is no TPM at the configured place",
		"检查 BIOS 是否启用 TPM,以及 key.device 配置", "enable the TPM in the firmware setup, and check key.device",
	}
}

func noAccess() kind {
	return kind{
		"无权使用安全芯片(TPM)", "the TPM may not be used by this user",
		"将 posagent 的用户加入 tss 组", "put posagent's user into group tss",
	}
}

func cleared() kind {
	return kind{
		"安全芯片已被清除或更换,原密钥不可恢复", "the TPM was cleared or is another one: the key is gone for good",
		"账簿完好:把 key.tpm 移走,再用中心签发的代码运行 posagent epoch --reason key_changed,未上传交易随后照常上传",
		"the journal is whole: move key.tpm away and run posagent epoch --reason key_changed with a code of the centre; unsent money is sent after it",
	}
}

func wrongPIN() kind {
	return kind{
		"安全芯片的 PIN 不正确", "the PIN of the key in the TPM is wrong",
		"检查 key.pin_file;多次错误会被芯片锁定", "check key.pin_file; the TPM locks after several wrong ones",
	}
}

func locked() kind {
	return kind{
		"PIN 错误次数过多,安全芯片已锁定", "the TPM has locked after too many wrong PINs",
		"等待芯片自行解锁(通常数分钟至两小时),或由管理员运行 tpm2_dictionarylockout --clear-lockout",
		"wait until it unlocks by itself (minutes to hours), or let the administrator run tpm2_dictionarylockout --clear-lockout",
	}
}

func noSuite() kind {
	return kind{
		"该安全芯片不支持国密 SM2,或配置了其他签名算法", "this TPM has no SM2, or another suite is configured",
		"使用 key.kind: tpm-sealed(密钥密封于芯片,运行时在内存中)", "use key.kind: tpm-sealed (sealed to the TPM, in memory while the agent runs)",
	}
}

func badBlob() kind {
	return kind{
		"key.tpm 与配置或安全芯片不符", "key.tpm does not fit the configuration or the TPM",
		"恢复原文件或原配置;密钥变更须用 posagent epoch --reason key_changed", "put file or configuration back; a change of key needs posagent epoch --reason key_changed",
	}
}

func broken() kind {
	return kind{
		"安全芯片没有应答", "the TPM does not answer",
		"重启设备;若仍如此,更换设备并导出账簿 posctl journal export", "restart the device; if that does not help, replace it and export the journal by posctl journal export",
	}
}

// explain gives an error of the TPM its text; one that has a text already passes.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if _, told := errors.AsType[*pos.Error](err); told {
		return err
	}
	is := func(codes ...tpm2.TPMRC) bool {
		for _, c := range codes {
			if errors.Is(err, c) {
				return true
			}
		}
		return false
	}
	switch {
	case is(tpm2.TPMRCAuthFail, tpm2.TPMRCBadAuth):
		return trouble(wrongPIN, err)
	case is(tpm2.TPMRCLockout):
		return trouble(locked, err)
	case is(tpm2.TPMRCIntegrity):
		return trouble(cleared, err)
	case is(tpm2.TPMRCCurve, tpm2.TPMRCScheme, tpm2.TPMRCAsymmetric, tpm2.TPMRCHash):
		return trouble(noSuite, err)
	}
	return trouble(broken, err)
}
