package fault

import (
	"errors"
	"slices"
)

// Join is errors.Join, but for one error, which stays what it is: Message then
// reads it, without the names of operations.
func Join(errs ...error) error {
	errs = slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
