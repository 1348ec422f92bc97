package deploy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"strconv"

	"go.etcd.io/bbolt"
)

// A sum over the records of the state file is kept with them, but for reports and the audit
// log: those are large, serving needs neither, and the log has hashes of its own. It finds what a damaged disk
// has changed, and above all what it has lost: records that are not found are otherwise
// records that never were, and nobody would miss the files of a model that they name.

// keySum is the key in bucketMeta under which the sum is kept.
const keySum = "sum"

// schemaOfSum is the first schema whose files have a sum.
const schemaOfSum = 3

// castagnoli sums the records: processors have an instruction for it.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// summer adds records up, in the order of the file.
type summer struct {
	table *crc32.Table
	sum   uint32
}

func newSummer() *summer { return &summer{table: castagnoli()} }

// add adds a bucket with its sequence, or a record of it.
func (s *summer) add(parts ...[]byte) {
	for _, part := range parts {
		s.sum = crc32.Update(s.sum, s.table, binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		s.sum = crc32.Update(s.sum, s.table, part)
	}
}

// summed says whether a bucket has a part in the sum.
func summed(bucket []byte) bool {
	return string(bucket) != bucketReports && string(bucket) != bucketAudit
}

func (s *summer) bucket(name []byte, sequence uint64) {
	if !summed(name) {
		return
	}
	s.add(name, binary.BigEndian.AppendUint64(nil, sequence))
}

// record adds a record, unless it is the sum itself.
func (s *summer) record(bucket, key, value []byte) {
	if summed(bucket) && (string(bucket) != bucketMeta || string(key) != keySum) {
		s.add(key, value)
	}
}

func (s *summer) text() []byte { return strconv.AppendUint(nil, uint64(s.sum), 16) }

// writeSum sums the records up as a transaction leaves them, and keeps the sum.
func writeSum(tx *bbolt.Tx) error {
	s := newSummer()
	err := tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
		if !summed(name) {
			return nil
		}
		s.bucket(name, bucket.Sequence())
		return bucket.ForEach(func(key, value []byte) error {
			s.record(name, key, value)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("sum the records up: %w", err)
	}
	return tx.Bucket([]byte(bucketMeta)).Put([]byte(keySum), s.text())
}

// Layout of a bbolt file, version 2. Numbers are in the processor's byte order.
const (
	pageHeader   = 16 // id 8, flags 2, count 2, overflow 4
	metaSize     = 64 // magic 4, version 4, page size 4, flags 4, root 16, freelist 8, pages 8, transaction 8, sum 8
	elementSize  = 16 // of a branch: place 4, key's size 4, page 8; of a leaf: flags 4, place 4, key's size 4, value's size 4
	bucketHeader = 16 // root page 8, sequence 8

	flagBranch, flagLeaf, flagMeta = 0x01, 0x02, 0x04
	flagBucket                     = 0x01 // of a leaf's element

	fileMagic, fileVersion = 0xED0CDAED, 2
)

var errLayout = errors.New("its pages contradict each other")

// stateFile reads the bytes of a state file by bbolt's layout. bbolt itself trusts its
// file: a page that is damaged, or cut off, may end the process, or never end a search.
type stateFile struct {
	data     []byte
	pageSize uint64
	pages    uint64 // that are in use
	root     uint64
	seen     map[uint64]bool
	depth    int

	sum    *summer
	schema string // "" for none
	want   string // the sum that is kept; "" for none
}

// readState reads all records of a state file.
func readState(data []byte) (*stateFile, error) {
	f := &stateFile{data: data, seen: map[uint64]bool{}, sum: newSummer()}
	if err := f.meta(); err != nil {
		return nil, err
	}
	if size := uint64(len(data)); size < f.pages*f.pageSize {
		return nil, fmt.Errorf("the file has %d bytes, its content takes %d", size, f.pages*f.pageSize)
	}
	root, err := f.page(f.root)
	if err != nil {
		return nil, err
	}
	err = f.walk(root, func(flags uint32, name, value []byte) error {
		if flags&flagBucket == 0 {
			return errLayout
		}
		return f.bucket(name, value)
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// meta finds the last transaction: there are two places, which are written in turn.
func (f *stateFile) meta() error {
	order, newest, found := binary.NativeEndian, uint64(0), false
	try := func(at uint64) {
		if uint64(len(f.data)) < at+pageHeader+metaSize {
			return
		}
		meta := f.data[at+pageHeader:][:metaSize]
		check := fnv.New64a()
		check.Write(meta[:metaSize-8]) //nolint:gosec // it cannot fail
		valid := order.Uint32(meta) == fileMagic && order.Uint32(meta[4:]) == fileVersion && order.Uint64(meta[56:]) == check.Sum64()
		if transaction := order.Uint64(meta[48:]); valid && (!found || transaction > newest) {
			newest, found = transaction, true
			f.pageSize, f.root, f.pages = uint64(order.Uint32(meta[8:])), order.Uint64(meta[16:]), order.Uint64(meta[40:])
		}
	}
	try(0)
	second := f.pageSize
	if found {
		try(second)
	} else {
		for size := uint64(1 << 10); size <= 1<<24 && !found; size <<= 1 {
			try(size)
		}
	}
	switch {
	case !found:
		return errors.New("it has no valid beginning")
	case f.pageSize < 1<<10 || f.pageSize > 1<<24 || f.pages > 1<<40:
		return errLayout
	}
	return nil
}

// page returns the bytes of a page, and of those that it overflows into.
func (f *stateFile) page(id uint64) ([]byte, error) {
	order := binary.NativeEndian
	if id < 2 || id >= f.pages || f.seen[id] {
		return nil, errLayout
	}
	page := f.data[id*f.pageSize:]
	more := uint64(order.Uint32(page[12:]))
	if order.Uint64(page) != id || id+more >= f.pages {
		return nil, errLayout
	}
	for i := id; i <= id+more; i++ {
		f.seen[i] = true
	}
	return page[:(more+1)*f.pageSize], nil
}

// walk calls fn for each element of a leaf, and of the leaves below a branch.
func (f *stateFile) walk(page []byte, fn func(flags uint32, key, value []byte) error) error {
	const deepest = 64
	if f.depth++; f.depth > deepest {
		return errLayout
	}
	defer func() { f.depth-- }()
	order := binary.NativeEndian
	flags, count := order.Uint16(page[8:]), int(order.Uint16(page[10:]))
	if len(page) < pageHeader+count*elementSize || flags != flagBranch && flags != flagLeaf {
		return errLayout
	}
	for i := range count {
		at := pageHeader + i*elementSize
		element := page[at:]
		if flags == flagBranch {
			child, err := f.page(order.Uint64(element[8:]))
			if err != nil {
				return err
			}
			if err := f.walk(child, fn); err != nil {
				return err
			}
			continue
		}
		begin, key, value := uint64(at)+uint64(order.Uint32(element[4:])), uint64(order.Uint32(element[8:])), uint64(order.Uint32(element[12:]))
		if begin+key+value > uint64(len(page)) {
			return errLayout
		}
		if err := fn(order.Uint32(element), page[begin:][:key], page[begin+key:][:value]); err != nil {
			return err
		}
	}
	return nil
}

// bucket reads the records of one bucket. A small one lies in the value itself.
func (f *stateFile) bucket(name, value []byte) error {
	order := binary.NativeEndian
	if len(value) < bucketHeader {
		return errLayout
	}
	f.sum.bucket(name, order.Uint64(value[8:]))
	page := value[bucketHeader:]
	if root := order.Uint64(value); root != 0 {
		var err error
		if page, err = f.page(root); err != nil {
			return err
		}
	} else if len(page) < pageHeader || order.Uint16(page[8:]) != flagLeaf {
		return errLayout
	}
	return f.walk(page, func(flags uint32, key, value []byte) error {
		if flags != 0 {
			return errLayout
		}
		f.sum.record(name, key, value)
		if string(name) == bucketMeta {
			switch string(key) {
			case "schema":
				f.schema = string(value)
			case keySum:
				f.want = string(value)
			}
		}
		return nil
	})
}

// check compares the records with their sum. Files of older schemas have none.
func (f *stateFile) check() error {
	number, _ := strconv.Atoi(f.schema) // 0 for none
	switch {
	case number == 0 || number >= schemaOfSum && f.want == "":
		return errors.New("records are missing")
	case f.want != "" && f.want != string(f.sum.text()):
		return errors.New("its records do not have the sum that was written with them")
	}
	return nil
}
