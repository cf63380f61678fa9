//go:build !slow

package queue

// How large the worlds of the tests are: as large as the promises with -tags slow.
const (
	muchMail  = 200
	halfSites = 50
)
