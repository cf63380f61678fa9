//go:build slow

package queue

const (
	muchMail  = 1000
	halfSites = 250
)
