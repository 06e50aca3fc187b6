package sdk

import (
	"context"
	"net/http"
)

// Enrolment tells who the till is.
type Enrolment struct {
	Enrolled bool   `json:"enrolled"`
	Terminal string `json:"terminal"`
	Merchant string `json:"merchant"`
	Store    string `json:"store"`
	Epoch    uint32 `json:"epoch"`
}

// Enroll makes the device a terminal of the centre (its address, such as
// https://pos.example.cn) by a one-time code. The same code may be sent again.
func (c *Client) Enroll(ctx context.Context, centre, code string) (Enrolment, error) {
	var e Enrolment
	body := map[string]string{"centre": centre, "code": code}
	return e, c.do(ctx, call{method: http.MethodPost, path: "/v1/enroll", body: body}, &e)
}
