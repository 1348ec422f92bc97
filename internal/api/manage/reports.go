package manage

import (
	"net/http"

	"verge/client"
)

func (a *API) listModels(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, client.ModelList{Models: list(a.node.Reports.Models())})
}

func (a *API) getModel(w http.ResponseWriter, r *http.Request) error {
	m, err := a.node.Reports.Model(r.PathValue("model"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, m)
}

func (a *API) getDevice(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, a.node.Reports.Device())
}

func (a *API) listRuntimes(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, client.RuntimeList{Runtimes: list(a.node.Reports.Runtimes())})
}

func (a *API) getHealth(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, a.node.Reports.Health())
}

func (a *API) getStatus(w http.ResponseWriter, _ *http.Request) error {
	status := a.node.Reports.Status()
	status.Models = list(status.Models)
	return writeJSON(w, http.StatusOK, status)
}

// list makes JSON say [] of a list without elements.
func list[T any](elements []T) []T {
	if elements == nil {
		return []T{}
	}
	return elements
}
