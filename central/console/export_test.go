package console

// CheapHash hashes with the least cost that is accepted: tests sign in often.
func CheapHash(password string) (string, error) {
	return hashPassword(password, cost{passes: 1, memory: 8, threads: 1})
}

// CheckHash is checkHash.
func CheckHash(hash, password string) (bool, error) { return checkHash(hash, password) }
