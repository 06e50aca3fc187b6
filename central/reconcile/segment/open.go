package segment

import (
	"crypto/subtle"
	"errors"
	"os"
	"strings"
)

// Open finds a store by its address: a folder, http(s)://… of a centre, or s3+http(s)://HOST/BUCKET/…
// The token is a centre's; keys of S3 come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
// AWS_SESSION_TOKEN and AWS_REGION (us-east-1 without it).
func Open(address, token string) (Store, error) {
	switch {
	case address == "":
		return nil, errors.New("no folder or address of segments")
	case strings.HasPrefix(address, "s3+"):
		key := S3Key{
			ID: os.Getenv("AWS_ACCESS_KEY_ID"), Secret: os.Getenv("AWS_SECRET_ACCESS_KEY"),
			Session: os.Getenv("AWS_SESSION_TOKEN"), Region: os.Getenv("AWS_REGION"),
		}
		if key.ID == "" || key.Secret == "" {
			return nil, errors.New("S3 needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
		}
		if key.Region == "" {
			key.Region = "us-east-1"
		}
		return NewS3(strings.TrimPrefix(address, "s3+"), key)
	case strings.Contains(address, "://"):
		return NewRemote(address, token)
	}
	return Folder(address), nil
}

func sameToken(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
