package kernel

import "dcpos/pos/dcep"

// PromptOf is the prompt of a challenge that was made elsewhere, as test vectors are.
func PromptOf(c dcep.Challenge) Prompt { return Prompt{Secret: &session{challenge: c}} }
