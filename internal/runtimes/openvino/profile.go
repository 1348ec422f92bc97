package openvino

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"verge/internal/native"
)

// maxSlots is how many slots a profile is of, those that were closed last.
const maxSlots = 16

// profile collects what the slots of a session measured, for one file.
type profile struct {
	prefix string

	mu    sync.Mutex // guards slots
	slots [][]nodeTime
}

// nodeTime is what one node of the graph took in the last run of a slot.
type nodeTime struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Exec   string `json:"exec_type"`
	Status string `json:"status"`
	Real   int64  `json:"real_us"`
	CPU    int64  `json:"cpu_us"`
}

// nodeStates are the names of the values of ov_profiling_info_t.Status.
var nodeStates = []string{"not_run", "optimized_out", "executed"} //nolint:gochecknoglobals // a constant table

// profilingInfo is ov_profiling_info_t.
type profilingInfo struct {
	status           int32
	realTime, cpu    int64
	node, exec, kind uintptr
}

// add takes over what an infer request measured. A request that never ran has
// nothing to tell.
func (p *profile) add(a *api, request uintptr) {
	var list [2]uintptr // ov_profiling_info_list_t: {infos, how many}
	if a.call(requestGetProfilingInfo, request, uintptr(unsafe.Pointer(&list))) != nil {
		return
	}
	times := []nodeTime{}
	for _, info := range native.Array[profilingInfo](list[0], int(list[1])) { // as many as it wrote
		times = append(times, nodeTime{
			Name: native.String(info.node, maxText), Type: native.String(info.kind, maxText), Exec: native.String(info.exec, maxText),
			Status: nodeStates[max(0, min(int(info.status), len(nodeStates)-1))], Real: info.realTime, CPU: info.cpu,
		})
	}
	native.Call(a.functions[profilingInfoListFree], uintptr(unsafe.Pointer(&list)))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slots = append(p.slots, times)
	p.slots = p.slots[max(0, len(p.slots)-maxSlots):]
}

// write writes the file: for each slot, the nodes of its last run. Its name is the
// prefix with a number that no other file has.
func (p *profile) write() error {
	type run struct {
		Nodes []nodeTime `json:"nodes"`
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	runs := []run{}
	for _, nodes := range p.slots {
		runs = append(runs, run{nodes})
	}
	data, err := json.MarshalIndent(map[string]any{"runtime": Name, "slots": runs}, "", " ")
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(p.prefix), filepath.Base(p.prefix)+"_*.json")
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	_, err = file.Write(append(data, '\n'))
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}
